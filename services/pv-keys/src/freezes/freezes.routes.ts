/** The kill switch. Only signed-in persons hold it: a freeze must not be able to take it out of their hands. */
import * as contract from "@nexus/contracts/freezes";
import { decodeCursor, pageOf } from "@nexus/db";
import { type App, type FastifyRequest, personOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { confirmFreeze } from "./confirm-freeze.ts";
import { freeze } from "./freeze.ts";
import { freezerOf } from "./freezer.ts";
import { listFreezes } from "./freezes.store.ts";
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
      body: contract.FreezeRequest,
      response,
    },
    handler: async (request, reply) => {
      const input = inputOf(request);
      const frozen = await freeze(deps, { ...input, request: request.body });
      const answer = await confirmFreeze(deps, frozen, input);
      return reply.code(answer.receipt.confirmed ? 200 : 202).send(answer);
    },
  });
  app.route({
    method: "POST",
    url: "/v1/thaw",
    config,
    schema: { summary: "End a freeze; 202 while some node may not know yet", tags, body: contract.ThawRequest, response },
    handler: async (request, reply) => {
      const input = inputOf(request);
      const thawed = await thaw(deps, { ...input, id: request.body.id });
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
