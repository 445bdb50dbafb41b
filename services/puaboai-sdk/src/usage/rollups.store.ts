import type { Db } from "@nexus/db";
import { type RawBuilder, sql } from "kysely";
import type { Seen } from "./seen-by.ts";

/** Stands for nobody's key or user: they are part of a primary key. */
export const nobody = "00000000-0000-0000-0000-000000000000";

const sums = [
  "attempts",
  "failed",
  "input_tokens",
  "cached_input_tokens",
  "output_tokens",
  "reasoning_tokens",
  "cost_nanos",
  "duration_ms",
];

/**
 * Part of the statement that inserts rows, which are `inserted`: counts them by the minute and by the hour. In one order, so that
 * no two processes wait for each other. What never reached a model is counted without the name that its client gave it: anybody
 * could make as many rows as they know names.
 */
export const countInserted = sql.raw(`
  minutes AS (${countInto("usage_minutes", "minute")} RETURNING 1),
  hours AS (${countInto("usage_hours", "hour")} RETURNING 1)`);

function countInto(table: string, unit: string): string {
  return `INSERT INTO ${table} SELECT date_trunc('${unit}', occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS bucket, organization_id,
      coalesce(key_id, '${nobody}'), coalesce(user_id, '${nobody}'), CASE provider WHEN '' THEN '' ELSE model END, provider,
      count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens),
      sum(reasoning_tokens), sum(cost_nanos), sum(duration_ms)
    FROM inserted GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 1, 3, 4, 5, 6
    ON CONFLICT (organization_id, bucket, key_id, user_id, model, provider) DO UPDATE SET
      ${sums.map((name) => `${name} = ${table}.${name} + excluded.${name}`).join(", ")}`;
}

/** What a rollup can be grouped by, as the API names it. */
export const groupings = ["minute", "hour", "day", "organization", "key", "user", "model", "provider"] as const;
export type Grouping = (typeof groupings)[number];

const expressions: Readonly<Record<Grouping, RawBuilder<unknown>>> = {
  minute: sql`bucket`,
  hour: sql`date_trunc('hour', bucket AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'`,
  day: sql`date_trunc('day', bucket AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'`,
  organization: sql`organization_id`,
  key: sql`key_id`,
  user: sql`user_id`,
  model: sql`model`,
  provider: sql`provider`,
};

export interface RollupRow extends Partial<Record<Grouping, string | Date>> {
  attempts: bigint;
  failed: bigint;
  input_tokens: bigint;
  cached_input_tokens: bigint;
  output_tokens: bigint;
  reasoning_tokens: bigint;
  cost_nanos: bigint;
  duration_ms: bigint;
}

export interface RollupFilter extends Seen {
  userId: string | undefined;
  model: string | undefined;
  from: Date;
  to: Date;
}

/** Sums of the buckets from `from` on and before `to`, in the order of time, the dearest first. */
export async function sumRollups(
  db: Db,
  filter: RollupFilter,
  { groups, limit }: { groups: readonly Grouping[]; limit: number },
): Promise<RollupRow[]> {
  const table = sql.table(groups.includes("minute") ? "usage_minutes" : "usage_hours");
  const when = <T>(value: T | undefined, condition: (given: T) => RawBuilder<unknown>) =>
    value === undefined ? sql`` : sql` AND ${condition(value)}`;
  const named = groups.map((group) => sql`${expressions[group]} AS ${sql.ref(group)}`);
  const summed = sums.map((name) => sql`coalesce(sum(${sql.ref(name)}), 0)::bigint AS ${sql.ref(name)}`);
  const times = groups.filter((group) => group === "minute" || group === "hour" || group === "day");
  const order = [...times.map((group) => sql`${sql.ref(group)}`), sql`cost_nanos DESC`, sql`attempts DESC`];
  const places = groups.map((_, index) => sql.raw(String(index + 1)));
  const { rows } = await sql<RollupRow>`
    SELECT ${sql.join([...named, ...summed])} FROM ${table}
    WHERE bucket >= ${filter.from} AND bucket < ${filter.to}
      ${when(filter.organizationId, (id) => sql`organization_id = ${id}::uuid`)}
      ${when(filter.keyId, (id) => sql`key_id = ${id}::uuid`)}
      ${when(filter.userId, (id) => sql`user_id = ${id}::uuid`)}
      ${when(filter.model, (model) => sql`model = ${model}`)}
    ${places.length > 0 ? sql`GROUP BY ${sql.join(places)}` : sql``}
    ORDER BY ${sql.join(order)} LIMIT ${limit}`.execute(db);
  return rows;
}

/** Minutes that nobody looks at any more. */
export async function dropOldMinutes(db: Db, { keptDays }: { keptDays: number }): Promise<void> {
  await sql`DELETE FROM usage_minutes WHERE bucket < now() - make_interval(days => ${keptDays})`.execute(db);
}
