import { UsageSummary, UsageSummaryQuery } from "@nexus/contracts/usage";
import { type Clock, Problem, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type App, callerOf } from "@nexus/http";
import { type Grouping, groupings, nobody, type RollupRow, sumRollups } from "./rollups.store.ts";
import { narrowed, rowId, spanOf } from "./seen-by.ts";
import type { UsageRecorder } from "./usage-recorder.ts";

interface SummaryDeps {
  db: Db;
  clock: Clock;
  recorder: Pick<UsageRecorder, "flush">;
}

const mostGroups = 3;
const mostRows = 5000;
const minuteMs = 60_000;

export function addUsageSummaryRoutes(app: App, deps: SummaryDeps): void {
  app.route({
    method: "GET",
    url: "/v1/usage/summary",
    config: { permission: "scope:usage:read" },
    schema: {
      summary: "Usage and cost, grouped: a key sees its own, a person their organization's, an administrator all",
      tags: ["usage"],
      querystring: UsageSummaryQuery,
      response: { 200: UsageSummary },
    },
    handler: async (request) => {
      const { query } = request;
      const groups = readGroups(query.group_by);
      const bucketMs = groups.includes("minute") ? minuteMs : 60 * minuteMs;
      const asked = spanOf(query, deps.clock.now());
      const span = { from: floor(asked.from, bucketMs), to: floor(new Date(asked.to.getTime() + bucketMs - 1), bucketMs) };
      const filter = { ...narrowed(callerOf(request), query), userId: rowId("user", query.user_id), model: query.model, ...span };
      // Whoever asks after their call sees it: what this process has finished is brought in first.
      await deps.recorder.flush();
      const rows = await sumRollups(deps.db, filter, { groups, limit: mostRows + 1 });
      if (rows.length > mostRows) throw wrong("/group_by", `makes more than ${mostRows} groups; narrow from, to or the filters`);
      return {
        from: span.from.toISOString(),
        to: span.to.toISOString(),
        data: rows.map((row) => ({ ...groupOf(row, groups), ...sumsOf(row) })),
        totals: sumsOf(rows.reduce(added, nothing)),
      };
    },
  });
}

/** @throws Problem `invalid_request` */
function readGroups(text: string | undefined): readonly Grouping[] {
  if (text === undefined) return [];
  const names = text.split(",");
  const groups = groupings.filter((group) => names.includes(group));
  if (groups.length !== names.length)
    throw wrong("/group_by", `must be some of ${groupings.join(", ")}, each once, with commas between`);
  if (groups.length > mostGroups) throw wrong("/group_by", `must be at most ${mostGroups}`);
  return groups;
}

function floor(time: Date, bucketMs: number): Date {
  return new Date(Math.floor(time.getTime() / bucketMs) * bucketMs);
}

function groupOf(row: RollupRow, groups: readonly Grouping[]): Record<string, string | null> {
  return Object.fromEntries(groups.map((group) => [memberNames[group], valueOf(group, row[group])]));
}

const memberNames: Readonly<Record<Grouping, string>> = {
  minute: "time",
  hour: "time",
  day: "time",
  organization: "organization_id",
  key: "key_id",
  user: "user_id",
  model: "model",
  provider: "provider",
};

function valueOf(group: Grouping, value: string | Date | undefined): string | null {
  if (value instanceof Date) return value.toISOString();
  if (value === undefined || value === nobody || value === "") return null;
  return group === "organization" || group === "key" || group === "user" ? toId(group, value) : value;
}

const nothing: RollupRow = {
  attempts: 0n,
  failed: 0n,
  input_tokens: 0n,
  cached_input_tokens: 0n,
  output_tokens: 0n,
  reasoning_tokens: 0n,
  cost_nanos: 0n,
  duration_ms: 0n,
};

function added(one: RollupRow, other: RollupRow): RollupRow {
  return {
    attempts: one.attempts + other.attempts,
    failed: one.failed + other.failed,
    input_tokens: one.input_tokens + other.input_tokens,
    cached_input_tokens: one.cached_input_tokens + other.cached_input_tokens,
    output_tokens: one.output_tokens + other.output_tokens,
    reasoning_tokens: one.reasoning_tokens + other.reasoning_tokens,
    cost_nanos: one.cost_nanos + other.cost_nanos,
    duration_ms: one.duration_ms + other.duration_ms,
  };
}

function sumsOf(row: RollupRow) {
  return {
    attempts: Number(row.attempts),
    failed: Number(row.failed),
    input_tokens: Number(row.input_tokens),
    cached_input_tokens: Number(row.cached_input_tokens),
    output_tokens: Number(row.output_tokens),
    reasoning_tokens: Number(row.reasoning_tokens),
    cost_nanos: row.cost_nanos.toString(),
    duration_ms: Number(row.duration_ms),
  };
}

function wrong(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", undefined, { errors: [{ pointer, detail }] });
}
