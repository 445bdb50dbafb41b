/** Every statement about secrets but those of rewrapping. */
import { noteChanges } from "@nexus/change-feed";
import { assert } from "@nexus/core";
import type { CursorPosition, Db, Tables } from "@nexus/db";
import { type Selectable, sql } from "kysely";
import type { SealedValue } from "./sealed-value.ts";

export type SecretRow = Selectable<Tables["secrets"]>;
type VersionRow = Selectable<Tables["secret_versions"]>;
/** A version without what is sealed. */
export type VersionFacts = Omit<VersionRow, "ciphertext" | "wrapped_key">;

/** How many versions keep their value: a reader in the middle of a change may still ask for the one before. */
const versionsKept = 2;

type NewSecret = Pick<SecretRow, "id" | "organization_id" | "name" | "readers" | "created_by" | "created_at">;

/** With version 1 to come; `rev` is set by `setRevision` at the end of the transaction. @throws a unique violation when the name is taken */
export async function insertSecret(db: Db, secret: NewSecret): Promise<void> {
  await db
    .insertInto("secrets")
    .values({ ...secret, version: 1, updated_at: secret.created_at, rev: 0n })
    .execute();
}

type NewVersion = SealedValue & { secretId: string; version: number; createdBy: string; createdAt: Date };

export async function insertVersion(db: Db, { secretId, createdBy, createdAt, ...sealed }: NewVersion): Promise<void> {
  await db
    .insertInto("secret_versions")
    .values({ ...sealed, secret_id: secretId, created_by: createdBy, created_at: createdAt })
    .execute();
}

/** Deleted ones are for nobody. */
function live(db: Db) {
  return db.selectFrom("secrets").selectAll().where("deleted_at", "is", null);
}

export async function findSecret(db: Db, id: string): Promise<SecretRow | undefined> {
  return await live(db).where("id", "=", id).executeTakeFirst();
}

/** Locks the row until the transaction ends. */
export async function lockSecret(db: Db, id: string): Promise<SecretRow | undefined> {
  return await live(db).where("id", "=", id).forUpdate().executeTakeFirst();
}

export async function findSecretByName(db: Db, organizationId: string | null, name: string): Promise<SecretRow | undefined> {
  return await live(db)
    .where(sql<boolean>`organization_id IS NOT DISTINCT FROM ${organizationId}::uuid`)
    .where("name", "=", name)
    .executeTakeFirst();
}

export async function countSecrets(db: Db, organizationId: string | null): Promise<number> {
  const { rows } = await sql<{ count: number }>`SELECT count(*)::int4 AS count FROM secrets
    WHERE organization_id IS NOT DISTINCT FROM ${organizationId}::uuid AND deleted_at IS NULL`.execute(db);
  return rows[0]?.count ?? 0;
}

interface ListOptions {
  organizationId: string | null;
  after: CursorPosition | undefined;
  limit: number;
}

/** Newest first. */
export async function listSecrets(db: Db, { organizationId, after, limit }: ListOptions): Promise<SecretRow[]> {
  let query = live(db).where(sql<boolean>`organization_id IS NOT DISTINCT FROM ${organizationId}::uuid`);
  if (after) query = query.where((eb) => eb(eb.refTuple("created_at", "id"), "<", eb.tuple(after.createdAt, after.id)));
  return await query.orderBy("created_at", "desc").orderBy("id", "desc").limit(limit).execute();
}

/** One version with what it takes to open it. */
export async function findVersion(db: Db, secretId: string, version: number): Promise<VersionRow | undefined> {
  return await db
    .selectFrom("secret_versions")
    .selectAll()
    .where("secret_id", "=", secretId)
    .where("version", "=", version)
    .executeTakeFirst();
}

/** Newest first, without what is sealed. */
export async function listVersions(db: Db, secretId: string, limit: number): Promise<VersionFacts[]> {
  return await db
    .selectFrom("secret_versions")
    .select(["secret_id", "version", "wrapped_by", "created_at", "created_by", "destroyed_at", "rewrap_failed"])
    .where("secret_id", "=", secretId)
    .orderBy("version", "desc")
    .limit(limit)
    .execute();
}

export async function updateSecret(
  db: Db,
  id: string,
  values: Partial<Pick<SecretRow, "version" | "readers" | "deleted_at">> & { updated_at: Date },
): Promise<void> {
  await db.updateTable("secrets").set(values).where("id", "=", id).execute();
}

/** Destroys every value but the newest ones. */
export async function destroyOldVersions(db: Db, secretId: string, newest: number, at: Date): Promise<void> {
  await destroyVersions(db, secretId, newest - versionsKept, at);
}

/** Destroys the values of all versions up to this one; what is left tells that they were there. */
export async function destroyVersions(db: Db, secretId: string, upTo: number, at: Date): Promise<void> {
  await db
    .updateTable("secret_versions")
    .set({ ciphertext: null, wrapped_key: null, destroyed_at: at })
    .where("secret_id", "=", secretId)
    .where("version", "<=", upTo)
    .where("destroyed_at", "is", null)
    .execute();
}

/** Takes the next revision of the change feed and stamps the secret with it. Last in its transaction: other writers queue behind it. */
export async function setRevision(db: Db, secretId: string): Promise<SecretRow> {
  const { rows } = await sql<SecretRow>`
    UPDATE secrets SET rev = record_change('secret', id, organization_id) WHERE id = ${secretId} RETURNING *`.execute(db);
  const [row] = rows;
  assert(row, "the secret is there");
  noteChanges(db, [{ rev: Number(row.rev), kind: "secret", subjectId: row.id, organizationId: row.organization_id }]);
  return row;
}

/** The key-encryption keys that anything is wrapped with. */
export async function fingerprintsInUse(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom("secret_versions")
    .select("wrapped_by")
    .distinct()
    .where("wrapped_key", "is not", null)
    .orderBy("wrapped_by")
    .execute();
  return rows.map((row) => row.wrapped_by);
}

/** All key-encryption keys that this database was ever used with: names by fingerprint. */
export async function knownKeys(db: Db): Promise<Map<string, string>> {
  const rows = await db.selectFrom("key_encryption_keys").select(["fingerprint", "name"]).execute();
  return new Map(rows.map((row) => [row.fingerprint, row.name]));
}

/** Of two that come at once with different keys of one name, one is first and the other finds it. */
export async function rememberKeys(db: Db, keys: readonly { fingerprint: string; name: string }[]): Promise<void> {
  await db
    .insertInto("key_encryption_keys")
    .values(keys.map(({ fingerprint, name }) => ({ fingerprint, name })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
