/** Every statement that reads keys for people. */
import type { CursorPosition, Db } from "@nexus/db";
import { sql } from "kysely";
import type { KeyRow, VersionRow } from "./key.ts";

/** A key of this organization; another's does not exist here. */
export async function findKey(db: Db, key: { id: string; organizationId: string }): Promise<KeyRow | undefined> {
  return (await findKeys(db, [key.id], key.organizationId))[0];
}

/** Those of the keys that are this organization's, in the order of their ids. */
export async function findKeys(db: Db, ids: readonly string[], organizationId: string): Promise<KeyRow[]> {
  return await keyRows(db)
    .where("api_keys.id", "=", sql<string>`ANY(${ids}::uuid[])`)
    .where("api_keys.organization_id", "=", organizationId)
    .orderBy("api_keys.id")
    .execute();
}

export interface KeyFilter {
  organizationId: string;
  state?: KeyRow["state"] | undefined;
  environment?: KeyRow["environment"] | undefined;
  kind?: KeyRow["kind"] | undefined;
  ownerKind?: KeyRow["owner_kind"] | undefined;
  /** uuid */
  ownerUserId?: string | undefined;
  tag?: string | undefined;
  /** Part of the name, in any case. */
  name?: string | undefined;
  expiresBefore?: Date | undefined;
  unusedSince?: Date | undefined;
  after?: CursorPosition | undefined;
  limit: number;
}

/** Newest first. */
export async function listKeys(db: Db, filter: KeyFilter): Promise<KeyRow[]> {
  let query = keyRows(db).where("api_keys.organization_id", "=", filter.organizationId);
  if (filter.state) query = query.where(stateNow, "=", filter.state);
  if (filter.environment) query = query.where("api_keys.environment", "=", filter.environment);
  if (filter.kind) query = query.where("api_keys.kind", "=", filter.kind);
  if (filter.ownerKind) query = query.where("owner_kind", "=", filter.ownerKind);
  if (filter.ownerUserId) query = query.where("owner_user_id", "=", filter.ownerUserId);
  if (filter.tag !== undefined) query = query.where(sql<boolean>`${filter.tag} = ANY(tags)`);
  if (filter.name !== undefined) query = query.where(sql<boolean>`position(lower(${filter.name}) IN lower(name)) > 0`);
  if (filter.expiresBefore) query = query.where("expires_at", "<", filter.expiresBefore);
  if (filter.unusedSince) {
    const since = filter.unusedSince;
    query = query
      .where("api_keys.created_at", "<", since)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom("api_key_versions")
              .select("version")
              .whereRef("key_id", "=", "api_keys.id")
              .where("last_used_at", ">=", since),
          ),
        ),
      );
  }
  if (filter.after) {
    const { createdAt, id } = filter.after;
    query = query.where((eb) => eb(eb.refTuple("api_keys.created_at", "api_keys.id"), "<", eb.tuple(createdAt, id)));
  }
  return await query.orderBy("api_keys.created_at", "desc").orderBy("api_keys.id", "desc").limit(filter.limit).execute();
}

/** Expiry is no state in the table: it comes by itself, and by PostgreSQL's clock, which is one for all replicas. */
const stateNow = sql<KeyRow["state"]>`CASE WHEN api_keys.state = 'active' AND api_keys.expires_at <= now()
  THEN 'expired' ELSE api_keys.state END`;

/** The newest ten; those that still work are fewer, so they are among them. */
const versions = sql<VersionRow[]>`(SELECT json_agg(shown) FROM (
  SELECT version, display_prefix, format, created_at, last_used_at, retires_at, coalesce(retires_at <= now()
    OR (lead(created_at) OVER (ORDER BY version) <= now() - interval '1 hour'
      AND coalesce(last_used_at <= now() - interval '1 hour', true)), false) AS drained
  FROM api_key_versions WHERE key_id = api_keys.id ORDER BY version DESC LIMIT 10) AS shown)`;

function keyRows(db: Db) {
  return db
    .selectFrom("api_keys")
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
      sql<KeyRow["limits"]>`limits`.as("limits"),
      "concurrency",
      "quota_limit",
      "quota_refill",
      "budget_ids",
      "metadata",
      "tags",
      "expires_at",
      "api_keys.created_at",
      "updated_at",
      "revoked_at",
      "rev",
      versions.as("versions"),
    ]);
}
