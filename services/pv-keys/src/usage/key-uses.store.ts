/** Every statement that reads what verifiers have counted and what they hold of quotas. */
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

export interface QuotaRow {
  limit: bigint;
  used: bigint;
  held: bigint;
  resetsAt: Date | null;
}

/** `undefined`: the key has no quota. A period that nobody has opened yet stands as the one before left it, so it counts as unused. */
export async function findQuota(db: Db, keyId: string): Promise<QuotaRow | undefined> {
  const { rows } = await sql<QuotaRow>`
    WITH asked AS (
      SELECT id, quota_limit, CASE WHEN quota_refill = 'never' THEN timestamptz 'epoch'
        ELSE date_trunc(quota_refill, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' END AS opened, quota_refill
      FROM api_keys WHERE id = ${keyId}::uuid AND quota_limit IS NOT NULL
    )
    SELECT quota_limit AS "limit", coalesce(ledger.used, 0)::int8 AS used,
      (SELECT coalesce(sum(held), 0)::int8 FROM quota_leases WHERE key_id = ledger.key_id) AS held,
      CASE WHEN quota_refill <> 'never' THEN (opened AT TIME ZONE 'UTC' + ('1 ' || quota_refill)::interval) AT TIME ZONE 'UTC' END AS "resetsAt"
    FROM asked LEFT JOIN key_quotas AS ledger ON ledger.key_id = asked.id AND ledger.period_start >= asked.opened`.execute(db);
  return rows[0];
}
