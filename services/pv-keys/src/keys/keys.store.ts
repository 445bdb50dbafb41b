/** Every statement of the keys feature that writes a key. */
import { noteChanges } from "@nexus/change-feed";
import { assert } from "@nexus/core";
import type { Db, Tables } from "@nexus/db";
import { type Insertable, sql, type Updateable } from "kysely";
import type { KeyRow } from "./key.ts";

export interface NewKey {
  key: Omit<Insertable<Tables["api_keys"]>, "rev" | "state" | "revoked_at" | "updated_at"> & { id: string; created_at: Date };
  secret: NewVersion;
}
export type NewVersion = Pick<Insertable<Tables["api_key_versions"]>, "hash" | "pepper_version" | "display_prefix" | "format">;

/** Keys with their first secrets; `rev` is set by `setRevisions` at the end of the transaction. */
export async function insertKeys(db: Db, keys: readonly NewKey[]): Promise<void> {
  const rows = keys.map(({ key }) => ({ ...key, updated_at: key.created_at, rev: 0n }));
  await db.insertInto("api_keys").values(rows).execute();
  const versions = keys.map(({ key, secret }) => ({ ...secret, key_id: key.id, version: 1, created_at: key.created_at }));
  await db.insertInto("api_key_versions").values(versions).execute();
}

/** Takes the next revision of the change feed and stamps the key with it. Last in its transaction: other writers queue behind it. */
export async function setRevision(db: Db, key: { id: string; organizationId: string }, end?: KeyEnd): Promise<bigint> {
  const rev = (await setRevisions(db, [key.id], { organizationId: key.organizationId, end })).get(key.id);
  assert(rev !== undefined, "the key is there");
  return rev;
}

/** How a key stops working. */
export type KeyEnd = { updated_at: Date } & ({ state: "disabled" } | { state: "revoked"; revoked_at: Date });

/** The same for several keys of one organization, each with a revision of its own, in the order given. */
export async function setRevisions(
  db: Db,
  ids: readonly string[],
  { organizationId, end }: { organizationId: string; end?: KeyEnd | undefined },
): Promise<Map<string, bigint>> {
  const revokedAt = end?.state === "revoked" ? end.revoked_at : null;
  const { rows } = await sql<{ id: string; rev: bigint }>`
    UPDATE api_keys SET rev = made.rev, state = coalesce(${end?.state ?? null}, state),
      revoked_at = coalesce(${revokedAt}, revoked_at), updated_at = coalesce(${end?.updated_at ?? null}, updated_at)
    FROM record_changes('key', ${ids}::uuid[], ${organizationId}::uuid) AS made
    WHERE api_keys.id = made.subject_id RETURNING api_keys.id, api_keys.rev`.execute(db);
  noteChanges(
    db,
    rows.map(({ id, rev }) => ({ rev: Number(rev), kind: "key", subjectId: id, organizationId })),
  );
  return new Map(rows.map((row) => [row.id, row.rev]));
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

export type LockedKey = Pick<KeyRow, "id" | "kind" | "models" | "owner_user_id"> & { state: Exclude<KeyRow["state"], "expired"> };

/** The same for those of these keys that are the organization's. In the order of their ids, so that two callers never wait for each other. */
export async function lockKeys(db: Db, ids: readonly string[], organizationId: string): Promise<LockedKey[]> {
  return await lockable(db)
    .where("id", "=", sql<string>`ANY(${ids}::uuid[])`)
    .where("organization_id", "=", organizationId)
    .execute();
}

export interface RevocableFilter {
  organizationId: string;
  kind?: KeyRow["kind"] | undefined;
  environment?: KeyRow["environment"] | undefined;
  ownerKind?: KeyRow["owner_kind"] | undefined;
  ownerUserId?: string | undefined;
  tag?: string | undefined;
}

/** The same for the oldest keys that fit the filter and are not revoked. */
export async function lockKeysThatFit(db: Db, filter: RevocableFilter, limit: number): Promise<LockedKey[]> {
  let query = lockable(db).where("organization_id", "=", filter.organizationId).where("state", "!=", "revoked");
  if (filter.kind) query = query.where("kind", "=", filter.kind);
  if (filter.environment) query = query.where("environment", "=", filter.environment);
  if (filter.ownerKind) query = query.where("owner_kind", "=", filter.ownerKind);
  if (filter.ownerUserId) query = query.where("owner_user_id", "=", filter.ownerUserId);
  if (filter.tag !== undefined) query = query.where(sql<boolean>`${filter.tag} = ANY(tags)`);
  return await query.limit(limit).execute();
}

function lockable(db: Db) {
  return db.selectFrom("api_keys").select(["id", "kind", "state", "models", "owner_user_id"]).orderBy("id").forUpdate();
}

/** Those of the stored hashes (hex) that are there already. */
export async function findHashes(db: Db, hashes: readonly string[]): Promise<string[]> {
  const rows = await db
    .selectFrom("api_key_versions")
    .select(sql<string>`encode(hash, 'hex')`.as("hex"))
    .where("hash", "=", sql<Buffer>`ANY(SELECT decode(given, 'hex') FROM unnest(${hashes}::text[]) AS given)`)
    .execute();
  return rows.map(({ hex }) => hex);
}

export async function updateKeyRow(db: Db, keyId: string, values: Updateable<Tables["api_keys"]>): Promise<void> {
  await db.updateTable("api_keys").set(values).where("id", "=", keyId).execute();
}

/**
 * Lets every secret that still works end `overlapSeconds` from now, by PostgreSQL's clock, which is the one that decides
 * expiry; one that ends sooner keeps its end. The number of secrets that are still good afterwards.
 */
export async function retireVersions(db: Db, keyId: string, overlapSeconds: number): Promise<number> {
  const end = sql<Date>`date_trunc('milliseconds', now()) + make_interval(secs => ${overlapSeconds})`;
  const kept = await db
    .updateTable("api_key_versions")
    .set({ retires_at: sql<Date>`least(retires_at, ${end})` })
    .where("key_id", "=", keyId)
    .where((eb) => eb.or([eb("retires_at", "is", null), eb("retires_at", ">", sql<Date>`now()`)]))
    .returning(sql<boolean>`retires_at > now()`.as("works"))
    .execute();
  return kept.filter(({ works }) => works).length;
}

/** The next secret of a key whose row is locked; its number. */
export async function insertVersion(db: Db, keyId: string, secret: NewVersion & { created_at: Date }): Promise<number> {
  const { hash, pepper_version, display_prefix, created_at } = secret;
  const made = await db
    .insertInto("api_key_versions")
    .values((eb) => ({
      key_id: keyId,
      version: eb
        .selectFrom("api_key_versions")
        .select(sql<number>`max(version) + 1`.as("next"))
        .where("key_id", "=", keyId),
      hash,
      pepper_version,
      display_prefix,
      created_at,
    }))
    .returning("version")
    .executeTakeFirstOrThrow();
  return made.version;
}

/** The pepper versions that hashes were made with whose keys may be good, now or one day. */
export async function pepperVersionsInUse(db: Db): Promise<number[]> {
  const rows = await db
    .selectFrom("api_key_versions")
    .innerJoin("api_keys", "api_keys.id", "key_id")
    .select("pepper_version")
    .distinct()
    .where("state", "!=", "revoked")
    .where((eb) => eb.or([eb("retires_at", "is", null), eb("retires_at", ">", sql<Date>`now()`)]))
    .execute();
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
