/** Every statement of rewrapping. */
import { noteChanges } from "@nexus/change-feed";
import { assert } from "@nexus/core";
import type { Db, Tables } from "@nexus/db";
import { type Selectable, sql } from "kysely";

export type RewrapRow = Selectable<Tables["secret_rewraps"]>;

/** Runs are started one at a time. */
export async function lockRewraps(tx: Db): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('nexus.secret_rewraps'))`.execute(tx);
}

export async function findRunning(db: Db): Promise<RewrapRow | undefined> {
  return await db.selectFrom("secret_rewraps").selectAll().where("finished_at", "is", null).executeTakeFirst();
}

export async function findNewest(db: Db): Promise<RewrapRow | undefined> {
  return await db.selectFrom("secret_rewraps").selectAll().orderBy("started_at", "desc").orderBy("id", "desc").executeTakeFirst();
}

type NewRewrap = Pick<RewrapRow, "id" | "to_fingerprint" | "from_fingerprints" | "started_by" | "started_at">;

export async function insertRewrap(db: Db, row: NewRewrap): Promise<RewrapRow> {
  return await db
    .insertInto("secret_rewraps")
    .values({ ...row, finished_at: null })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The run as it ended; `undefined` when it had ended before. */
export async function finishRewrap(
  db: Db,
  id: string,
  { at, superseded }: { at: Date; superseded: boolean },
): Promise<RewrapRow | undefined> {
  return await db
    .updateTable("secret_rewraps")
    .set({ finished_at: at, superseded })
    .where("id", "=", id)
    .where("finished_at", "is", null)
    .returningAll()
    .executeTakeFirst();
}

/** Tells the other processes that there is work. The run is no secret, but what follows secrets hears of it. */
export async function announceRewrap(db: Db, id: string): Promise<void> {
  const { rows } = await sql<{ rev: bigint }>`SELECT record_change('secret', ${id}::uuid, NULL) AS rev`.execute(db);
  noteChanges(
    db,
    rows.map(({ rev }) => ({ rev: Number(rev), kind: "secret", subjectId: id, organizationId: null })),
  );
}

export interface WrappedKey {
  secret_id: string;
  version: number;
  organization_id: string | null;
  wrapped_key: Buffer;
  wrapped_by: string;
}

interface Batch {
  rewrapId: string;
  to: string;
  /** Fingerprints of the keys that this process can unwrap with. */
  held: readonly string[];
  limit: number;
}

/** Data keys that are still to be done, locked until the transaction ends; those that another process has in its hands are passed over. */
export async function lockBatch(db: Db, { rewrapId, to, held, limit }: Batch): Promise<WrappedKey[]> {
  const { rows } = await sql<WrappedKey>`
    SELECT v.secret_id, v.version, s.organization_id, v.wrapped_key, v.wrapped_by
    FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
    WHERE v.wrapped_key IS NOT NULL AND v.wrapped_by <> ${to} AND v.wrapped_by = ANY(${held}::text[])
      AND v.rewrap_failed IS DISTINCT FROM ${rewrapId}::uuid
    ORDER BY v.secret_id, v.version LIMIT ${limit} FOR UPDATE OF v SKIP LOCKED`.execute(db);
  return rows;
}

export interface Rewrapped {
  secretId: string;
  version: number;
  wrappedKey: Buffer;
}

export async function storeRewrapped(db: Db, to: string, keys: readonly Rewrapped[]): Promise<void> {
  if (keys.length === 0) return;
  await sql`
    UPDATE secret_versions v SET wrapped_key = n.wrapped_key, wrapped_by = ${to}, rewrap_failed = NULL
    FROM unnest(${keys.map((key) => key.secretId)}::uuid[], ${keys.map((key) => key.version)}::int[],
      ${keys.map((key) => key.wrappedKey)}::bytea[]) AS n (secret_id, version, wrapped_key)
    WHERE v.secret_id = n.secret_id AND v.version = n.version`.execute(db);
}

/** They are not tried again by this run. */
export async function markFailed(db: Db, rewrapId: string, keys: readonly Omit<Rewrapped, "wrappedKey">[]): Promise<void> {
  if (keys.length === 0) return;
  await sql`
    UPDATE secret_versions v SET rewrap_failed = ${rewrapId}::uuid
    FROM unnest(${keys.map((key) => key.secretId)}::uuid[], ${keys.map((key) => key.version)}::int[]) AS n (secret_id, version)
    WHERE v.secret_id = n.secret_id AND v.version = n.version`.execute(db);
}

/** @returns whether the run was still under way */
export async function addProgress(db: Db, rewrapId: string, progress: { done: number; failed: number }): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("secret_rewraps")
    .set((eb) => ({
      done: eb("done", "+", BigInt(progress.done)),
      failed: eb("failed", "+", BigInt(progress.failed)),
    }))
    .where("id", "=", rewrapId)
    .where("finished_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Data keys that the run has neither done nor given up. */
export async function countRemaining(db: Db, { id, to_fingerprint }: Pick<RewrapRow, "id" | "to_fingerprint">): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*)::int4 AS count FROM secret_versions
    WHERE wrapped_key IS NOT NULL AND wrapped_by <> ${to_fingerprint} AND rewrap_failed IS DISTINCT FROM ${id}::uuid`.execute(db);
  assert(rows[0], "a count has a row");
  return rows[0].count;
}

/** Every key-encryption key that was ever used, newest first, with the number of data keys that it wraps. */
export async function listKeyUses(db: Db): Promise<{ fingerprint: string; name: string; data_keys: number }[]> {
  const { rows } = await sql<{ fingerprint: string; name: string; data_keys: number }>`
    SELECT k.fingerprint, k.name, count(v.secret_id)::int4 AS data_keys
    FROM key_encryption_keys k LEFT JOIN secret_versions v ON v.wrapped_by = k.fingerprint AND v.wrapped_key IS NOT NULL
    GROUP BY k.fingerprint ORDER BY k.created_at DESC, k.fingerprint`.execute(db);
  return rows;
}
