import { UsagePage, UsageQuery } from "@nexus/contracts/usage";
import { assert, type Clock, Problem, uuidOf } from "@nexus/core";
import { type Db, decodeCursor, encodeCursor } from "@nexus/db";
import { type App, type Caller, callerOf, isAdmin } from "@nexus/http";
import { presentUsage } from "./present-usage.ts";
import { listUsage, sumUsage, type UsageFilter } from "./read-usage.store.ts";
import type { UsageRecorder } from "./usage-recorder.ts";

interface UsageDeps {
  db: Db;
  clock: Clock;
  cursorSecret: Buffer;
  recorder: UsageRecorder;
}

const thirtyDaysMs = 30 * 86_400_000;

export function addUsageRoutes(app: App, deps: UsageDeps): void {
  app.route({
    method: "GET",
    url: "/v1/usage",
    config: { permission: "scope:usage:read" },
    schema: {
      summary: "Calls and their cost: a key sees its own, a person their organization's, an administrator all",
      tags: ["usage"],
      querystring: UsageQuery,
      response: { 200: UsagePage },
    },
    handler: async (request) => {
      const { limit = 20, cursor } = request.query;
      const filter = filterOf(callerOf(request), request.query, deps.clock.now());
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      // Whoever asks after their call sees it: what this process has finished is brought in first.
      await deps.recorder.flush();
      const [rows, totals] = await Promise.all([
        listUsage(deps.db, filter, { limit: limit + 1, after }),
        sumUsage(deps.db, filter),
      ]);
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return {
        data: shown.map(presentUsage),
        totals: presentTotals(totals),
        next_cursor: last ? encodeCursor(last.occurred_at, last.request_id, deps.cursorSecret) : null,
        has_more: last !== undefined,
      };
    },
  });
}

/** What a caller may see, narrowed to what it asks for. Another's organization or key is not there. */
function filterOf(caller: Caller, query: UsageQuery, now: number): UsageFilter {
  assert(caller.kind !== "service", "the route lets no services in");
  const to = query.to === undefined ? new Date(now + 1) : new Date(query.to);
  const from = query.from === undefined ? new Date(to.getTime() - thirtyDaysMs) : new Date(query.from);
  const { model } = query;
  const asked = { organizationId: query.organization_id, keyId: query.key_id };
  if (isAdmin(caller)) {
    return { organizationId: rowId("organization", asked.organizationId), keyId: rowId("key", asked.keyId), model, from, to };
  }
  if (asked.organizationId !== undefined && asked.organizationId !== caller.organizationId) throw new Problem("not_found");
  if (caller.kind === "key" && asked.keyId !== undefined && asked.keyId !== caller.keyId) throw new Problem("not_found");
  const keyId = rowId("key", caller.kind === "key" ? caller.keyId : asked.keyId);
  return { organizationId: rowId("organization", caller.organizationId), keyId, model, from, to };
}

function rowId(kind: "organization" | "key", id: string | undefined): string | undefined {
  if (id === undefined) return undefined;
  const uuid = uuidOf(kind, id);
  if (uuid === undefined) throw new Problem("not_found");
  return uuid;
}

function presentTotals(totals: Awaited<ReturnType<typeof sumUsage>>) {
  return {
    requests: Number(totals.requests),
    input_tokens: Number(totals.input_tokens),
    output_tokens: Number(totals.output_tokens),
    cached_input_tokens: Number(totals.cached_input_tokens),
    cache_write_tokens: Number(totals.cache_write_tokens),
    reasoning_tokens: Number(totals.reasoning_tokens),
    cost_nanos: totals.cost_nanos.toString(),
  };
}
