/** Every statement of the keys feature. */
import type { CursorPosition, Db } from "@nexus/db";
import { sql } from "kysely";
import type { KeyRow, VerifiedKey } from "./key.ts";

export interface NewKey {
  id: string;
  organizationId: string;
  ownerKind: KeyRow["owner_kind"];
  ownerUserId: string | null;
  name: string;
  kind: KeyRow["kind"];
  environment: KeyRow["environment"];
  scopes: readonly string[];
  models: readonly string[] | null;
  metadata: Record<string, unknown>;
  tags: readonly string[];
  expiresAt: Date | null;
  createdBy: string;
  createdAt: Date;
  hash: Buffer;
  pepperVersion: number;
  displayPrefix: string;
}

/** The key and its first secret; `rev` is set by `setRevision` at the end of the transaction. */
export async function insertKey(db: Db, key: NewKey): Promise<KeyRow> {
  const row = await db
    .insertInto("api_keys")
    .values({
      id: key.id,
      organization_id: key.organizationId,
      owner_kind: key.ownerKind,
      owner_user_id: key.ownerUserId,
      name: key.name,
      kind: key.kind,
      environment: key.environment,
      scopes: [...key.scopes],
      models: key.models === null ? null : [...key.models],
      metadata: JSON.stringify(key.metadata),
      tags: [...key.tags],
      expires_at: key.expiresAt,
      created_by: key.createdBy,
      created_at: key.createdAt,
      updated_at: key.createdAt,
      rev: 0n,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await db
    .insertInto("api_key_versions")
    .values({
      key_id: key.id,
      version: 1,
      hash: key.hash,
      pepper_version: key.pepperVersion,
      display_prefix: key.displayPrefix,
      created_at: key.createdAt,
    })
    .execute();
  return { ...row, display_prefix: key.displayPrefix };
}

/** Takes the next revision of the change feed and stamps the key with it. Last in its transaction: other writers queue behind it. */
export async function setRevision(db: Db, key: { id: string; organizationId: string }): Promise<bigint> {
  const stamped = await db
    .updateTable("api_keys")
    .set({ rev: sql<bigint>`record_change('key', ${key.id}::uuid, ${key.organizationId}::uuid)` })
    .where("id", "=", key.id)
    .returning("rev")
    .executeTakeFirstOrThrow();
  return stamped.rev;
}

/** Locks the key's row until the transaction ends. */
export async function lockKey(db: Db, key: { id: string; organizationId: string }): Promise<boolean> {
  const row = await db
    .selectFrom("api_keys")
    .select("id")
    .where("id", "=", key.id)
    .where("organization_id", "=", key.organizationId)
    .forUpdate()
    .executeTakeFirst();
  return row !== undefined;
}

export async function markRevoked(db: Db, keyId: string, at: Date): Promise<void> {
  await db.updateTable("api_keys").set({ state: "revoked", revoked_at: at, updated_at: at }).where("id", "=", keyId).execute();
}

/** A key of this organization; another's does not exist here. */
export async function findKey(db: Db, key: { id: string; organizationId: string }): Promise<KeyRow | undefined> {
  return await keyRows(db)
    .where("api_keys.id", "=", key.id)
    .where("api_keys.organization_id", "=", key.organizationId)
    .executeTakeFirst();
}

interface KeyFilter {
  organizationId: string;
  state?: KeyRow["state"] | undefined;
  environment?: KeyRow["environment"] | undefined;
  after?: CursorPosition | undefined;
  limit: number;
}

/** Newest first. */
export async function listKeys(db: Db, filter: KeyFilter): Promise<KeyRow[]> {
  let query = keyRows(db).where("api_keys.organization_id", "=", filter.organizationId);
  if (filter.state) query = query.where(stateNow, "=", filter.state);
  if (filter.environment) query = query.where("api_keys.environment", "=", filter.environment);
  if (filter.after) {
    const { createdAt, id } = filter.after;
    query = query.where((eb) => eb(eb.refTuple("api_keys.created_at", "api_keys.id"), "<", eb.tuple(createdAt, id)));
  }
  return await query.orderBy("api_keys.created_at", "desc").orderBy("api_keys.id", "desc").limit(filter.limit).execute();
}

export type FindKeysByHash = (hashes: readonly Buffer[]) => Promise<(VerifiedKey & { hash: Buffer })[]>;

/** Finds the keys whose secrets have these hashes. Compiled once: it is asked for all the time. */
export function findKeysByHash(db: Db): FindKeysByHash {
  const query = db
    .selectFrom("api_key_versions")
    .innerJoin("api_keys", "api_keys.id", "api_key_versions.key_id")
    .select([
      "hash",
      "api_keys.id",
      "organization_id",
      "owner_kind",
      "owner_user_id",
      "scopes",
      "models",
      "ip_allow",
      "limits",
      "budget_ids",
      "rev",
      // A version that retires takes its holder with it, whatever the key's own time is.
      sql<Date | null>`least(api_keys.expires_at, api_key_versions.retires_at)`.as("expires_at"),
      sql<KeyRow["state"]>`CASE WHEN api_keys.state = 'active'
        AND least(api_keys.expires_at, api_key_versions.retires_at) <= now() THEN 'expired' ELSE api_keys.state END`.as("state"),
    ])
    .where("api_key_versions.hash", "=", sql<Buffer>`ANY(${[]}::bytea[])`)
    .compile();
  return async (hashes) => (await db.executeQuery<VerifiedKey & { hash: Buffer }>({ ...query, parameters: [hashes] })).rows;
}

/** The pepper versions that stored hashes were made with. */
export async function pepperVersionsInUse(db: Db): Promise<number[]> {
  const rows = await db.selectFrom("api_key_versions").select("pepper_version").distinct().execute();
  return rows.map((row) => row.pepper_version);
}

/**
 * Keeps the fingerprints of peppers that were not here yet, and gives back all that are.
 * Of two that come at once with different secrets for one version, one is first and the other hears of it.
 */
export async function rememberPeppers(
  db: Db,
  ours: readonly { version: number; fingerprint: Buffer }[],
): Promise<Map<number, Buffer>> {
  await db
    .insertInto("key_peppers")
    .values([...ours])
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const rows = await db.selectFrom("key_peppers").select(["version", "fingerprint"]).execute();
  return new Map(rows.map((row) => [row.version, row.fingerprint]));
}

/** Expiry is no state in the table: it comes by itself, and by PostgreSQL's clock, which is one for all replicas. */
const stateNow = sql<KeyRow["state"]>`CASE WHEN api_keys.state = 'active' AND api_keys.expires_at <= now()
  THEN 'expired' ELSE api_keys.state END`;

function keyRows(db: Db) {
  return db
    .selectFrom("api_keys")
    .innerJoin("api_key_versions", "api_key_versions.key_id", "api_keys.id")
    .select([
      "api_keys.id",
      "organization_id",
      "owner_kind",
      "owner_user_id",
      "name",
      "kind",
      "environment",
      stateNow.as("state"),
      "scopes",
      "models",
      "ip_allow",
      "limits",
      "budget_ids",
      "metadata",
      "tags",
      "expires_at",
      "api_keys.created_at",
      "updated_at",
      "revoked_at",
      "rev",
      "api_key_versions.display_prefix",
    ]);
}
