/** Every statement of a verifier. */
import type { FrozenTarget, KeyRecord } from "@nexus/contracts/key-record";
import { toId } from "@nexus/core";
import type { Db, Views } from "@nexus/db";
import { sql } from "kysely";

type KeyRow = Views["verifiable_keys"];

export interface FoundKey {
  hash: Buffer;
  pepperVersion: number;
  record: KeyRecord;
  freezes: FrozenTarget[];
}

export interface FoundKeys {
  generation: string;
  asOf: number;
  /** The newest pepper that a stored key may have been hashed with. */
  newestPepper: number;
  keys: FoundKey[];
}

/** The keys of these hashes and the moment of the feed at which they were so: one statement, one snapshot. */
export async function findVerifiableKeys(db: Db, hashes: readonly Buffer[]): Promise<FoundKeys> {
  const { rows } = await sql<
    { generation: string; as_of: bigint; newest_pepper: number; freezes: FrozenTarget[] } & {
      [C in keyof KeyRow]: KeyRow[C] | null;
    }
  >`
    SELECT c.generation, c.rev AS as_of, (SELECT coalesce(max(version), 0) FROM key_peppers) AS newest_pepper,
      (SELECT coalesce(json_agg(json_build_object('kind', f.target_kind, 'target', f.target)), '[]') FROM freezes f
        WHERE f.thawed_at IS NULL AND (f.organization_id IS NULL OR f.organization_id = k.organization_id)) AS freezes,
      k.*
    FROM change_counter c LEFT JOIN verifiable_keys k ON k.hash = ANY(${hashes}::bytea[])`.execute(db);
  const [first] = rows;
  if (!first) throw new Error("assertion failed: the change counter has its row");
  return {
    generation: first.generation,
    asOf: Number(first.as_of),
    newestPepper: first.newest_pepper,
    keys: rows.flatMap((row) => (row.hash === null ? [] : [foundKey(row as KeyRow & { freezes: FrozenTarget[] })])),
  };
}

export async function readPepperFingerprints(db: Db): Promise<Map<number, Buffer>> {
  const rows = await db.selectFrom("key_peppers").select(["version", "fingerprint"]).execute();
  return new Map(rows.map((row) => [row.version, row.fingerprint]));
}

function foundKey(row: KeyRow & { freezes: FrozenTarget[] }): FoundKey {
  return { hash: row.hash, pepperVersion: row.pepper_version, record: recordOf(row), freezes: row.freezes };
}

function recordOf(row: KeyRow): KeyRecord {
  return {
    key_id: toId("key", row.key_id),
    organization_id: toId("organization", row.organization_id),
    owner: { kind: row.owner_kind, id: row.owner_user_id === null ? null : toId("user", row.owner_user_id) },
    kind: row.kind,
    environment: row.environment,
    version: row.version,
    state: row.state,
    expires_at: row.expires_at?.toISOString() ?? null,
    scopes: row.scopes,
    models: row.models,
    ip_allow: row.ip_allow,
    limits: row.limits as KeyRecord["limits"],
    concurrency: row.concurrency,
    quota:
      row.quota_limit === null || row.quota_refill === null ? null : { limit: Number(row.quota_limit), refill: row.quota_refill },
    budget_ids: row.budget_ids.map((id) => toId("budget", id)),
    tags: row.tags,
    created_at: row.created_at.toISOString(),
    rev: Number(row.rev),
  };
}

export interface KeyFormatRow {
  name: string;
  prefix: string;
  min_length: number;
  max_length: number;
  alphabet: "base62" | "base64url" | "hex" | "printable";
}

export async function listKeyFormats(db: Db): Promise<KeyFormatRow[]> {
  return await db
    .selectFrom("key_formats")
    .select(["name", "prefix", "min_length", "max_length", "alphabet"])
    .orderBy("name")
    .execute();
}

export interface CountedUse {
  /** uuid */
  key_id: string;
  version: number;
  outcome: "valid" | "revoked" | "expired" | "disabled" | "frozen";
  uses: number;
  last_used_at: string;
}

/** Adds counts; a batch that was added before is not added again. */
export async function recordKeyUses(
  db: Db,
  batch: { writerId: string; seq: number; service: string; uses: readonly CountedUse[] },
): Promise<void> {
  const counted = JSON.stringify(batch.uses);
  await sql`SELECT record_key_uses(${batch.writerId}::uuid, ${batch.seq}, ${batch.service}, ${counted}::jsonb)`.execute(db);
}
