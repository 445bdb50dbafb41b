/** Every statement about reports of leaked keys. */
import type { CursorPosition, Db, Tables } from "@nexus/db";
import { type Insertable, type Selectable, sql } from "kysely";

export interface LeakedSecret {
  keyId: string;
  organizationId: string;
  version: number;
}

export type NewLeak = Insertable<Tables["key_leaks"]>;
export type LeakRow = Selectable<Tables["key_leaks"]> & { display_prefix: string };

/** Those of the stored hashes (hex) that are here, and the newest pepper that others may have hashed with. */
export async function findSecrets(
  db: Db,
  hashes: readonly string[],
): Promise<{ secrets: (LeakedSecret & { hash: string })[]; newestPepper: number }> {
  const { rows } = await sql<{ newest: number; hash: string | null; key_id: string; organization_id: string; version: number }>`
    SELECT newest.version AS newest, encode(k.hash, 'hex') AS hash, k.key_id, k.organization_id, k.version
    FROM (SELECT coalesce(max(version), 0) AS version FROM key_peppers) AS newest
    LEFT JOIN verifiable_keys k ON k.hash = ANY(SELECT decode(given, 'hex') FROM unnest(${hashes}::text[]) AS given)`.execute(db);
  return {
    newestPepper: rows[0]?.newest ?? 0,
    secrets: rows.flatMap(({ hash, key_id: keyId, organization_id: organizationId, version }) =>
      hash === null ? [] : [{ hash, keyId, organizationId, version }],
    ),
  };
}

/** Locks the key's row until the transaction ends. `retired`: this secret of it works no more. */
export async function lockLeakedKey(
  db: Db,
  { keyId, version }: LeakedSecret,
): Promise<{ state: "active" | "disabled" | "revoked"; retired: boolean; prefix: string } | undefined> {
  const { rows } = await sql<{ state: "active" | "disabled" | "revoked"; retired: boolean; prefix: string }>`
    SELECT k.state, coalesce(v.retires_at <= now(), false) AS retired, v.display_prefix AS prefix
    FROM api_keys k JOIN api_key_versions v ON v.key_id = k.id AND v.version = ${version}
    WHERE k.id = ${keyId}::uuid FOR UPDATE OF k`.execute(db);
  return rows[0];
}

/** `undefined` when this secret was reported at this place before. */
export async function insertLeak(db: Db, leak: NewLeak): Promise<{ reported_at: Date } | undefined> {
  return await db
    .insertInto("key_leaks")
    .values(leak)
    .onConflict((conflict) => conflict.columns(["key_id", "version", "place"]).doNothing())
    .returning("reported_at")
    .executeTakeFirst();
}

/** What was done when this secret was first reported at this place. */
export async function findLeakAction(db: Db, leak: Pick<NewLeak, "key_id" | "version" | "place">): Promise<LeakRow["action"]> {
  const row = await db
    .selectFrom("key_leaks")
    .select("action")
    .where("key_id", "=", leak.key_id)
    .where("version", "=", leak.version)
    .where("place", "=", leak.place)
    .executeTakeFirstOrThrow();
  return row.action;
}

export interface LeakFilter {
  /** `undefined`: every organization's. */
  organizationId?: string | undefined;
  /** uuid */
  keyId?: string | undefined;
  after: CursorPosition | undefined;
  limit: number;
}

/** Newest first. */
export async function listLeaks(db: Db, filter: LeakFilter): Promise<LeakRow[]> {
  let query = db
    .selectFrom("key_leaks")
    .innerJoin("api_key_versions", (join) =>
      join.onRef("api_key_versions.key_id", "=", "key_leaks.key_id").onRef("api_key_versions.version", "=", "key_leaks.version"),
    )
    .selectAll("key_leaks")
    .select("display_prefix");
  if (filter.organizationId !== undefined) query = query.where("organization_id", "=", filter.organizationId);
  if (filter.keyId !== undefined) query = query.where("key_leaks.key_id", "=", filter.keyId);
  if (filter.after) {
    const { createdAt, id } = filter.after;
    query = query.where((eb) => eb(eb.refTuple("reported_at", "id"), "<", eb.tuple(createdAt, id)));
  }
  return await query.orderBy("reported_at", "desc").orderBy("id", "desc").limit(filter.limit).execute();
}
