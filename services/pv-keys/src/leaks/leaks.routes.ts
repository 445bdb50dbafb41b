/** What is known of leaked keys: the reports, and what a key did. */
import { KeyParams } from "@nexus/contracts/keys";
import * as contract from "@nexus/contracts/leaks";
import { Problem, toId } from "@nexus/core";
import { decodeCursor, pageOf } from "@nexus/db";
import { type App, callerOf } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { getKey } from "../keys/get-key.ts";
import { managerOf } from "../keys/key-manager.ts";
import { keyActivity } from "./key-activity.ts";
import { type LeakRow, listLeaks } from "./leaks.store.ts";

const tags = ["leaks"];
const reading = { permission: "scope:keys:read" } as const;

export function addLeakRoutes(app: App, deps: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/leaks",
    config: reading,
    schema: {
      summary: "Where keys of the organization were seen, newest first",
      tags,
      querystring: contract.ListAllLeaksQuery,
      response: { 200: contract.LeakPage },
    },
    handler: async (request) => {
      const { by, tenant } = managerOf(callerOf(request));
      const { all = false, ...page } = request.query;
      if (all && !(by.kind === "person" && by.isAdmin))
        throw new Problem("forbidden", "Only an administrator sees the leaks of every organization.");
      return await leakPage(deps, all ? {} : { organizationId: tenant }, page);
    },
  });
  app.route({
    method: "GET",
    url: "/v1/keys/:id/leaks",
    config: reading,
    schema: {
      summary: "Where secrets of one key were seen, newest first",
      tags,
      params: KeyParams,
      querystring: contract.ListLeaksQuery,
      response: { 200: contract.LeakPage },
    },
    handler: async (request) => {
      const { tenant } = managerOf(callerOf(request));
      const key = await getKey(deps.db, { keyId: request.params.id, tenant });
      return await leakPage(deps, { organizationId: tenant, keyId: key.id }, request.query);
    },
  });
  app.route({
    method: "GET",
    url: "/v1/keys/:id/activity",
    config: reading,
    schema: {
      summary: "What a key touched in the last days",
      tags,
      params: KeyParams,
      querystring: contract.ActivityQuery,
      response: { 200: contract.KeyActivity },
    },
    handler: async (request) => {
      const { tenant } = managerOf(callerOf(request));
      const key = await getKey(deps.db, { keyId: request.params.id, tenant });
      return await keyActivity(deps, { key, days: request.query.days ?? 30 });
    },
  });
}

async function leakPage(
  { db, cursorSecret }: Deps,
  whose: { organizationId?: string; keyId?: string },
  { limit = 20, cursor }: { limit?: number; cursor?: string },
) {
  const after = cursor === undefined ? undefined : decodeCursor(cursor, cursorSecret);
  const rows = await listLeaks(db, { ...whose, after, limit: limit + 1 });
  return pageOf(rows, { limit, secret: cursorSecret, createdAt: (row) => row.reported_at, present: presentLeak });
}

function presentLeak(row: LeakRow): contract.Leak {
  return {
    id: toId("leak", row.id),
    key_id: toId("key", row.key_id),
    organization_id: toId("organization", row.organization_id),
    version: row.version,
    prefix: row.display_prefix,
    source: row.source,
    url: row.url === "" ? null : row.url,
    reported_at: row.reported_at.toISOString(),
    action: row.action,
  };
}
