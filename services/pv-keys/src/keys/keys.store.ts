/** Every statement of the keys feature. */
import type { CursorPosition, Db } from "@nexus/db";
import { sql } from "kysely";
import type { KeyRow } from "./key.ts";

interface NewKey {
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
export async function insertKey(db: Db, key: NewKey): Promise<void> {
  await db
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
    .execute();
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
}

/** Takes the next revision of the change feed and stamps the key with it. Last in its transaction: other writers queue behind it. */
export async function setRevision(db: Db, key: { id: string; organizationId: string }): Promise<void> {
  await sql`UPDATE api_keys SET rev = record_change('key', ${key.id}::uuid, ${key.organizationId}::uuid) WHERE id = ${key.id}`.execute(
    db,
  );
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
  if (filter.state) query = query.where("api_keys.state", "=", filter.state);
  if (filter.environment) query = query.where("api_keys.environment", "=", filter.environment);
  if (filter.after) {
    const { createdAt, id } = filter.after;
    query = query.where((eb) => eb(eb.refTuple("api_keys.created_at", "api_keys.id"), "<", eb.tuple(createdAt, id)));
  }
  return await query.orderBy("api_keys.created_at", "desc").orderBy("api_keys.id", "desc").limit(filter.limit).execute();
}

/** The key that one of these hashes (one per pepper version) belongs to. */
export async function findKeyByHash(db: Db, hashes: readonly Buffer[]): Promise<KeyRow | undefined> {
  return await keyRows(db)
    .where("api_key_versions.hash", "in", [...hashes])
    .executeTakeFirst();
}

/** The pepper versions that stored hashes were made with. */
export async function pepperVersionsInUse(db: Db): Promise<number[]> {
  const rows = await db.selectFrom("api_key_versions").select("pepper_version").distinct().execute();
  return rows.map((row) => row.pepper_version);
}

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
      "state",
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
