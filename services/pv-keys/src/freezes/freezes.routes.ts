/** The kill switch. Only signed-in persons hold it: a freeze must not be able to take it out of their hands. */
import { idempotencyHeaders } from "@nexus/contracts/common";
import * as contract from "@nexus/contracts/freezes";
import { decodeCursor, pageOf } from "@nexus/db";
import { type App, type FastifyReply, type FastifyRequest, personOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { doOnce } from "../do-once.ts";
import { confirmFreeze } from "./confirm-freeze.ts";
import { freeze } from "./freeze.ts";
import { freezerOf } from "./freezer.ts";
import { type FreezeRow, listFreezes } from "./freezes.store.ts";
import { presentFreeze } from "./present-freeze.ts";
import { thaw } from "./thaw.ts";

const tags = ["kill switch"];
const config = { permission: "person" } as const;
const response = { 200: contract.FreezeAnswer, 202: contract.FreezeAnswer };

export function addFreezeRoutes(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/v1/freeze",
    config,
    schema: {
      summary: "Refuse something everywhere until it is thawed; 202 while some node may not know yet",
      tags,
      headers: idempotencyHeaders,
      body: contract.FreezeRequest,
      response,
    },
    handler: async (request, reply) => {
      const input = inputOf(request);
      const frozen = await changeOnce(deps, { request, reply }, (within) => freeze(within, { ...input, request: request.body }));
      const answer = await confirmFreeze(deps, frozen, input);
      return reply.code(answer.receipt.confirmed ? 200 : 202).send(answer);
    },
  });
  app.route({
    method: "POST",
    url: "/v1/thaw",
    config,
    schema: {
      summary: "End a freeze; 202 while some node may not know yet",
      tags,
      headers: idempotencyHeaders,
      body: contract.ThawRequest,
      response,
    },
    handler: async (request, reply) => {
      const input = inputOf(request);
      const thawed = await changeOnce(deps, { request, reply }, (within) => thaw(within, { ...input, id: request.body.id }));
      const answer = await confirmFreeze(deps, thawed, input);
      return reply.code(answer.receipt.confirmed ? 200 : 202).send(answer);
    },
  });
  addListRoute(app, deps);
}

function addListRoute(app: App, deps: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/freeze",
    config,
    schema: {
      summary: "What is frozen within your organization, newest first; for administrators everywhere",
      tags,
      querystring: contract.ListFreezesQuery,
      response: { 200: contract.FreezePage },
    },
    handler: async (request) => {
      const { isAdmin, tenant } = freezerOf(personOf(request));
      const { limit = 20, cursor, all = false } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listFreezes(deps.db, { tenant: isAdmin ? undefined : tenant, all, after, limit: limit + 1 });
      return pageOf(rows, { limit, secret: deps.cursorSecret, createdAt: (row) => row.created_at, present: presentFreeze });
    },
  });
}

function inputOf(request: FastifyRequest) {
  return { freezer: freezerOf(personOf(request)), context: requestContext(request) };
}

/** A request that comes again late must not freeze again what was thawed meanwhile. Its receipt is awaited anew, but not written down. */
async function changeOnce(
  deps: Deps,
  sent: { request: FastifyRequest; reply: FastifyReply },
  change: (within: Deps) => Promise<{ row: FreezeRow; isNew: boolean }>,
): Promise<{ freeze: contract.Freeze; isNew: boolean }> {
  let isNew = false;
  const changed = await doOnce(deps, { ...sent, holdsSecret: false }, async (within) => {
    const made = await change(within);
    isNew = made.isNew;
    return presentFreeze(made.row);
  });
  return { freeze: changed, isNew };
}
