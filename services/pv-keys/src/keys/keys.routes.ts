/** Keys one by one: make, read, change. */
import { idempotencyHeaders } from "@nexus/contracts/common";
import { CreatedOrSharedKey } from "@nexus/contracts/key-shares";
import * as contract from "@nexus/contracts/keys";
import { decodeCursor, pageOf } from "@nexus/db";
import { type App, callerOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { doOnce } from "../do-once.ts";
import { addBulkKeyRoutes } from "./bulk-keys.routes.ts";
import { createKey } from "./create-key.ts";
import { getKey } from "./get-key.ts";
import { addKeyChangeRoutes } from "./key-changes.routes.ts";
import { listKeys } from "./key-list.store.ts";
import { managerOf } from "./key-manager.ts";
import { presentKey } from "./key.ts";
import { ownerFilter } from "./owner-filter.ts";

const tags = ["keys"];
const reading = { permission: "scope:keys:read" } as const;
const writing = { permission: "scope:keys:write" } as const;

export function addKeyRoutes(app: App, deps: Deps): void {
  addCreateRoute(app, deps);
  addReadingRoutes(app, deps);
  addKeyChangeRoutes(app, deps);
  addBulkKeyRoutes(app, deps);
}

function addCreateRoute(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/v1/keys",
    config: writing,
    schema: {
      summary: "Make a key; its secret is in this answer, or behind a one-time link, and nowhere else",
      tags,
      headers: idempotencyHeaders,
      body: contract.CreateKeyRequest,
      response: { 201: CreatedOrSharedKey },
    },
    handler: async (request, reply) => {
      const manager = managerOf(callerOf(request));
      const input = { manager, request: request.body, context: requestContext(request) };
      const made = await doOnce(
        deps,
        { request, reply, holdsSecret: true },
        (within) => createKey(within, input),
        ({ key }) => [key.id],
      );
      return reply.code(201).header("location", `/v1/keys/${made.key.id}`).send(made);
    },
  });
}

function addReadingRoutes(app: App, deps: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/keys",
    config: reading,
    schema: {
      summary: "The organization's keys, newest first",
      tags,
      querystring: contract.ListKeysQuery,
      response: { 200: contract.KeyPage },
    },
    handler: async (request) => {
      const { tenant } = managerOf(callerOf(request));
      const { limit = 20, cursor, ...filter } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listKeys(deps.db, { ...filterOf(filter), organizationId: tenant, after, limit: limit + 1 });
      return pageOf(rows, { limit, secret: deps.cursorSecret, createdAt: (row) => row.created_at, present: presentKey });
    },
  });
  app.route({
    method: "GET",
    url: "/v1/keys/:id",
    config: reading,
    schema: {
      summary: "One key",
      tags,
      params: contract.KeyParams,
      querystring: contract.NoOptions,
      response: { 200: contract.KeyAnswer },
    },
    handler: async (request) => {
      const { tenant } = managerOf(callerOf(request));
      return { key: presentKey(await getKey(deps.db, { keyId: request.params.id, tenant })) };
    },
  });
}

function filterOf(query: Omit<contract.ListKeysQuery, "limit" | "cursor">) {
  const { state, environment, kind, owner, tag, name, expires_before, unused_since } = query;
  return {
    state,
    environment,
    kind,
    tag,
    name,
    ...ownerFilter(owner, "?owner"),
    expiresBefore: expires_before === undefined ? undefined : new Date(expires_before),
    unusedSince: unused_since === undefined ? undefined : new Date(unused_since),
  };
}
