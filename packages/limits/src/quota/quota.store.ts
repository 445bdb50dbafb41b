import { assert } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** Names a process's block of a key's quota. Both are uuids. */
export interface BlockName {
  processId: string;
  keyId: string;
}

export interface QuotaGrant {
  /** `undefined`: the key has no quota. */
  granted: number | undefined;
  /** What is left beside the blocks of all processes. */
  leftOver: number;
  /** Milliseconds until the block is void; `Infinity` where there is no refill. */
  endsInMs: number;
}

/** Trades what is left of the process's block for another one. @throws what PostgreSQL answers */
export async function leaseQuota(
  db: Db,
  wanted: BlockName & { unspent: number; needed: number; asked: number; wish: number },
): Promise<QuotaGrant> {
  const { processId, keyId, unspent, needed, asked, wish } = wanted;
  const result = await sql<{ granted: bigint | null; left_over: bigint | null; ends_in_ms: bigint | null }>`
    SELECT * FROM lease_quota(${processId}::uuid, ${keyId}::uuid, ${unspent}::bigint, ${needed}::bigint, ${asked}::bigint,
      ${wish}::bigint)`.execute(db);
  const row = result.rows[0];
  assert(row, "the function answers with one row");
  return {
    granted: row.granted === null ? undefined : Number(row.granted),
    leftOver: Number(row.left_over ?? 0),
    endsInMs: row.ends_in_ms === null ? Infinity : Number(row.ends_in_ms),
  };
}

/** Accounts for the process's block: all of it is spent but `unspent`. */
export async function returnQuota(db: Db, block: BlockName & { unspent: number }): Promise<void> {
  await sql`SELECT return_quota(${block.processId}::uuid, ${block.keyId}::uuid, ${block.unspent}::bigint)`.execute(db);
}
