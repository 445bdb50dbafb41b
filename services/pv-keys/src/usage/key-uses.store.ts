/** Every statement that reads what verifiers have counted. */
import type { Db } from "@nexus/db";
import { sql } from "kysely";

export interface UsesRow {
  start: Date;
  version: number;
  service: string;
  outcome: string;
  uses: bigint;
}

/** Oldest first; `to` is not in it. */
export async function sumKeyUses(db: Db, asked: { keyId: string; from: Date; to: Date; by: "hour" | "day" }): Promise<UsesRow[]> {
  const { rows } = await sql<UsesRow>`
    SELECT date_trunc(${asked.by}, hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS start, version, service, outcome, sum(uses)::int8 AS uses
    FROM key_uses WHERE key_id = ${asked.keyId}::uuid AND hour >= date_trunc('hour', ${asked.from}::timestamptz) AND hour < ${asked.to}
    GROUP BY 1, version, service, outcome ORDER BY 1, version, service, outcome`.execute(db);
  return rows;
}
