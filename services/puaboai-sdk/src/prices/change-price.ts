/** What administrators do to prices. Each with its audit entry, and word to every gateway process, in one transaction. */
import type { AuditWriter } from "@nexus/audit";
import { type ChangeDeps, inChangeTransaction, recordGatewayChange } from "@nexus/change-feed";
import { type Clock, newUuid, Problem, toId, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { ChangedBy } from "@nexus/http";
import type { Catalogue } from "../catalogue/catalogue.ts";
import { insertPrice, lockPrice, type StoredPrice, withdrawPrice } from "./prices.store.ts";
import { readTerms } from "./read-terms.ts";

export interface PriceChangeDeps extends ChangeDeps {
  audit: AuditWriter;
  clock: Clock;
  catalogue: Pick<Catalogue, "all">;
}

interface AskedPrice {
  model: string;
  from: string | undefined;
  price: "free" | "unknown" | object;
  note: string | undefined;
}

/** What another machine's clock may be behind. */
const clockLeewayMs = 60_000;

/** @throws Problem `invalid_request`: no such model, a moment that is past, or a price that says too little or too much */
export async function setPrice(deps: PriceChangeDeps, asked: AskedPrice, by: ChangedBy): Promise<StoredPrice> {
  const now = deps.clock.now();
  const from = asked.from === undefined ? now : Date.parse(asked.from);
  // Whoever was charged has been charged: a price does not reach back.
  if (from < now - clockLeewayMs) throw refuse("/from", "lies in the past");
  const model = deps.catalogue.all().find(({ id }) => id === asked.model);
  if (!model?.upstream) throw refuse("/model", model ? "runs in the gateway itself and costs nothing" : "is no model here");
  const price = withDate(asked.price, from);
  const read = readTerms(price, model);
  if (typeof read === "object" && "errors" in read) throw new Problem("invalid_request", undefined, { errors: read.errors });
  const createdBy = uuidOf("user", by.caller.userId) ?? "";
  const row = { id: newUuid(now), model: asked.model, from: new Date(from), price, note: asked.note, createdBy };
  return await commit(deps, by, "price.set", async (tx) => await insertPrice(tx, row));
}

/** @throws Problem `not_found`, or `conflict` for one whose moment has come: a later one takes its place */
export async function takeBackPrice(deps: PriceChangeDeps, id: string, by: ChangedBy): Promise<StoredPrice> {
  const uuid = uuidOf("price", id);
  if (!uuid) throw new Problem("not_found", "There is no such price.");
  const now = new Date(deps.clock.now());
  return await commit(deps, by, "price.withdrawn", async (tx) => {
    const found = await lockPrice(tx, uuid);
    if (!found || found.withdrawn_at) throw new Problem("not_found", "There is no such price, or it was taken back.");
    if (found.effective_from <= now) throw new Problem("conflict", "The price holds or has held: set another from now on.");
    return await withdrawPrice(tx, uuid, now);
  });
}

/** Figures hold at their source since the day from which they are charged, unless told. */
function withDate(price: AskedPrice["price"], from: number): AskedPrice["price"] {
  return typeof price === "string" ? price : { effective: new Date(from).toISOString().slice(0, 10), ...price };
}

async function commit(
  deps: PriceChangeDeps,
  { caller, context }: ChangedBy,
  action: "price.set" | "price.withdrawn",
  work: (tx: Db) => Promise<StoredPrice>,
): Promise<StoredPrice> {
  return await inChangeTransaction(deps, async (tx) => {
    const done = await work(tx);
    await deps.audit.write(tx, {
      action,
      outcome: "success",
      actor: { kind: "person", id: caller.userId },
      targets: [{ kind: "price", id: toId("price", done.id) }],
      context,
      details: { model: done.model, from: done.effective_from.toISOString(), price: JSON.stringify(done.price), note: done.note },
    });
    await recordGatewayChange(tx, { kind: "price", subjectId: done.id, organizationId: null });
    return done;
  });
}

function refuse(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", undefined, { errors: [{ pointer, detail }] });
}
