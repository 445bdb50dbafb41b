import { type UsageEvent, UsagePage, UsageQuery } from "@nexus/contracts/usage";
import { assert, type Clock, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, decodeCursor, encodeCursor } from "@nexus/db";
import { type App, type Caller, callerOf, isAdmin } from "@nexus/http";
import { listUsage, type StoredUsage, sumUsage, type UsageFilter } from "./read-usage.store.ts";
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
        data: shown.map(present),
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

function present(row: StoredUsage): UsageEvent {
  return {
    request_id: toId("request", row.request_id),
    attempt: row.attempt,
    occurred_at: row.occurred_at.toISOString(),
    organization_id: toId("organization", row.organization_id),
    key_id: row.key_id === null ? null : toId("key", row.key_id),
    user_id: row.user_id === null ? null : toId("user", row.user_id),
    endpoint: row.endpoint,
    model: row.model,
    provider: row.provider,
    upstream_model: row.upstream_model,
    stream: row.stream,
    outcome: row.outcome,
    http_status: row.http_status,
    error_code: row.error_code,
    input_tokens: Number(row.input_tokens),
    output_tokens: Number(row.output_tokens),
    cached_input_tokens: Number(row.cached_input_tokens),
    cache_write_tokens: Number(row.cache_write_tokens),
    reasoning_tokens: Number(row.reasoning_tokens),
    units: row.units as UsageEvent["units"],
    usage_source: row.usage_source,
    cost_nanos: row.cost_nanos.toString(),
    price: row.price as Record<string, unknown> | null,
    duration_ms: row.duration_ms,
    first_byte_ms: row.first_byte_ms,
    client_request_id: row.client_request_id,
  };
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
