import { ModelPrice, PricePage, PriceParams, PricesQuery, SetPriceRequest } from "@nexus/contracts/prices";
import { toId } from "@nexus/core";
import { decodeCursor, pageOf } from "@nexus/db";
import { type App, changedBy } from "@nexus/http";
import { type PriceChangeDeps, setPrice, takeBackPrice } from "./change-price.ts";
import type { PriceBook } from "./price-book.ts";
import { listPrices, type StoredPrice } from "./prices.store.ts";

interface PriceRouteDeps extends PriceChangeDeps {
  cursorSecret: Buffer;
  priceBook: Pick<PriceBook, "holds" | "load">;
}

const config = { permission: "admin" } as const;
const tags = ["prices"];

export function addPriceRoutes(app: App, deps: PriceRouteDeps): void {
  const present = (row: StoredPrice): ModelPrice => presentPrice(row, deps);
  app.route({
    method: "GET",
    url: "/v1/admin/prices",
    config,
    schema: {
      summary: "The prices that administrators have set, newest first",
      tags,
      querystring: PricesQuery,
      response: { 200: PricePage },
    },
    handler: async (request) => {
      const { limit = 20, cursor, model } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listPrices(deps.db, model, { limit: limit + 1, after });
      return pageOf(rows, { limit, secret: deps.cursorSecret, createdAt: (row) => row.created_at, present });
    },
  });
  app.route({
    method: "POST",
    url: "/v1/admin/prices",
    config,
    schema: {
      summary: "Set what a model costs from a moment on",
      tags,
      body: SetPriceRequest,
      response: { 201: ModelPrice },
    },
    handler: async (request, reply) => {
      const { model, from, price, note } = request.body;
      const row = await setPrice(deps, { model, from, price, note }, changedBy(request));
      // This process charges it before it answers; the others within the bound of the change feed.
      await deps.priceBook.load();
      return await reply.code(201).send(present(row));
    },
  });
  app.route({
    method: "DELETE",
    url: "/v1/admin/prices/:id",
    config,
    schema: { summary: "Take back a price whose moment has not come", tags, params: PriceParams },
    handler: async (request, reply) => {
      await takeBackPrice(deps, request.params.id, changedBy(request));
      await deps.priceBook.load();
      return await reply.code(204).send();
    },
  });
}

function presentPrice(row: StoredPrice, { priceBook, clock }: Pick<PriceRouteDeps, "priceBook" | "clock">): ModelPrice {
  return {
    id: toId("price", row.id),
    model: row.model,
    from: row.effective_from.toISOString(),
    price: row.price as ModelPrice["price"],
    note: row.note,
    state: stateOf(row, priceBook.holds(row), clock.now()),
    created_by: toId("user", row.created_by),
    created_at: row.created_at.toISOString(),
  };
}

function stateOf(row: StoredPrice, holds: boolean, now: number): ModelPrice["state"] {
  if (row.withdrawn_at) return "withdrawn";
  if (row.effective_from.getTime() > now) return "to_come";
  return holds ? "in_force" : "past";
}
