import { CreatedKey, CreateKeyRequest, KeyAnswer, KeyPage, KeyParams, ListKeysQuery, NoOptions } from "@nexus/contracts/keys";
import { assert, Problem, uuidOf } from "@nexus/core";
import { decodeCursor, encodeCursor } from "@nexus/db";
import { type App, personOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { createKey } from "./create-key.ts";
import { presentKey } from "./key.ts";
import { findKey, listKeys } from "./keys.store.ts";
import { revokeKey } from "./revoke-key.ts";

const tags = ["keys"];
const config = { permission: "person" } as const;

export function addKeyRoutes(app: App, deps: Deps): void {
  addChangingRoutes(app, deps);
  addReadingRoutes(app, deps);
}

function addChangingRoutes(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/v1/keys",
    config,
    schema: {
      summary: "Make a key; its secret is in this answer and nowhere else",
      tags,
      body: CreateKeyRequest,
      response: { 201: CreatedKey },
    },
    handler: async (request, reply) => {
      const made = await createKey(deps, { caller: personOf(request), request: request.body, context: requestContext(request) });
      return reply.code(201).header("location", `/v1/keys/${made.key.id}`).send(made);
    },
  });
  app.route({
    method: "POST",
    url: "/v1/keys/:id/revoke",
    config,
    schema: { summary: "End a key for ever", tags, params: KeyParams, querystring: NoOptions, response: { 200: KeyAnswer } },
    preValidation: async (request) => refuseOptions(request.body),
    handler: async (request) => ({
      key: await revokeKey(deps, { caller: personOf(request), keyId: request.params.id, context: requestContext(request) }),
    }),
  });
}

function addReadingRoutes(app: App, deps: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/keys",
    config,
    schema: { summary: "The organization's keys, newest first", tags, querystring: ListKeysQuery, response: { 200: KeyPage } },
    handler: async (request) => {
      const { limit = 20, cursor, state, environment } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listKeys(deps.db, {
        organizationId: organizationOf(request),
        state,
        environment,
        after,
        limit: limit + 1,
      });
      const shown = rows.slice(0, limit);
      const last = shown.at(-1);
      const hasMore = rows.length > limit;
      return {
        data: shown.map(presentKey),
        next_cursor: hasMore && last ? encodeCursor(last.created_at, last.id, deps.cursorSecret) : null,
        has_more: hasMore,
      };
    },
  });
  app.route({
    method: "GET",
    url: "/v1/keys/:id",
    config,
    schema: { summary: "One key", tags, params: KeyParams, querystring: NoOptions, response: { 200: KeyAnswer } },
    handler: async (request) => {
      const id = uuidOf("key", request.params.id);
      const row = id === undefined ? undefined : await findKey(deps.db, { id, organizationId: organizationOf(request) });
      if (!row) throw new Problem("not_found");
      return { key: presentKey(row) };
    },
  });
}

function organizationOf(request: Parameters<typeof personOf>[0]): string {
  const id = uuidOf("organization", personOf(request).organizationId);
  assert(id !== undefined, "a verified person has well-formed ids");
  return id;
}

/** A body is not needed; an empty object is none. */
function refuseOptions(body: unknown): void {
  if (body === undefined || body === null) return;
  const names = typeof body === "object" ? Object.keys(body) : [""];
  if (names.length === 0) return;
  const errors = names.slice(0, 20).map((name) => ({ pointer: `/${name.slice(0, 100)}`, detail: "is not a known field" }));
  throw new Problem("invalid_request", "This takes no body.", { errors });
}
