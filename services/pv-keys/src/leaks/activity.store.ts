/** What one key did, out of tables that other services own: each function of PostgreSQL tells of one key of one organization. */
import type { Db } from "@nexus/db";
import { sql } from "kysely";

interface ActivityOf {
  /** uuid */
  keyId: string;
  /** uuid */
  organizationId: string;
  since: Date;
}

export interface UsageSums {
  requests: bigint;
  failed: bigint;
  input_tokens: bigint;
  output_tokens: bigint;
  cost_nanos: bigint;
  first_at: Date | null;
  last_at: Date | null;
}

type UsageRow = UsageSums & {
  part: "model" | "day" | "all";
  endpoint: string | null;
  model: string | null;
  day: string | null;
};

/** By model those that cost most first, by day the newest first. */
export async function usageActivity(db: Db, { keyId, organizationId, since }: ActivityOf): Promise<UsageRow[]> {
  const { rows } = await sql<UsageRow>`
    SELECT part, endpoint, model, day::text AS day, requests, failed, input_tokens, output_tokens, cost_nanos, first_at, last_at
    FROM key_usage_activity(${keyId}::uuid, ${organizationId}::uuid, ${since}) AS u
    ORDER BY part, u.day DESC, cost_nanos DESC, requests DESC, endpoint, model`.execute(db);
  return rows;
}

export interface CallRow {
  request_id: string;
  attempt: number;
  occurred_at: Date;
  endpoint: string;
  model: string;
  outcome: string;
  http_status: number | null;
  cost_nanos: bigint;
}

/** Newest first. */
export async function lastCalls(db: Db, { keyId, organizationId, since }: ActivityOf, most: number): Promise<CallRow[]> {
  const { rows } = await sql<CallRow>`
    SELECT * FROM key_last_calls(${keyId}::uuid, ${organizationId}::uuid, ${since}, ${most})`.execute(db);
  return rows;
}

export interface EntryRow {
  id: string;
  recorded_at: Date;
  action: string;
  outcome: string;
  actor: Record<string, unknown>;
  targets: unknown[];
  request_id: string | null;
  by_key: boolean;
}

/** Newest first. */
export async function auditActivity(db: Db, { keyId, organizationId, since }: ActivityOf, most: number): Promise<EntryRow[]> {
  const { rows } = await sql<EntryRow>`
    SELECT * FROM key_audit_activity(${keyId}::uuid, ${organizationId}::uuid, ${since}, ${most})`.execute(db);
  return rows;
}

export interface DecisionRow {
  version: number;
  service: string;
  outcome: string;
  uses: bigint;
  first_hour: Date;
  last_hour: Date;
}

/** How often each secret was decided about, by whoever decided and how. */
export async function decisions(db: Db, { keyId, since }: ActivityOf): Promise<DecisionRow[]> {
  return await db
    .selectFrom("key_uses")
    .select(({ fn }) => [
      "version",
      "service",
      "outcome",
      sql<bigint>`sum(uses)::bigint`.as("uses"),
      fn.min<Date>("hour").as("first_hour"),
      fn.max<Date>("hour").as("last_hour"),
    ])
    .where("key_id", "=", keyId)
    // The hour that the window begins in counts whole.
    .where("hour", ">=", sql<Date>`date_trunc('hour', ${since}::timestamptz)`)
    .groupBy(["version", "service", "outcome"])
    .orderBy("version", "desc")
    .orderBy("service")
    .orderBy("outcome")
    .execute();
}
