import { UsagePage, UsageQuery } from "@nexus/contracts/usage";
import type { Clock } from "@nexus/core";
import { type Db, decodeCursor, encodeCursor } from "@nexus/db";
import { type App, callerOf } from "@nexus/http";
import { presentUsage } from "./present-usage.ts";
import { listUsage, sumUsage } from "./read-usage.store.ts";
import { narrowed, spanOf } from "./seen-by.ts";
import type { UsageRecorder } from "./usage-recorder.ts";

interface UsageDeps {
  db: Db;
  clock: Clock;
  cursorSecret: Buffer;
  recorder: UsageRecorder;
}

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
      const { query } = request;
      const filter = { ...narrowed(callerOf(request), query), ...spanOf(query, deps.clock.now()), model: query.model };
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
