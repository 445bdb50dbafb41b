/** Every statement about which pepper a stored hash was made with. */
import type { Db } from "@nexus/db";
import { sql } from "kysely";

export interface Replacement {
  /** uuid */
  keyId: string;
  version: number;
  from: Buffer;
  to: Buffer;
}

/** One statement for all; a hash that is no longer `from` stays as it is. */
export async function replaceHashes(db: Db, replacements: readonly Replacement[], pepperVersion: number): Promise<void> {
  if (replacements.length === 0) return;
  await sql`
    UPDATE api_key_versions v SET hash = n.new_hash, pepper_version = ${pepperVersion}
    FROM unnest(${replacements.map(({ keyId }) => keyId)}::uuid[], ${replacements.map(({ version }) => version)}::int[],
      ${replacements.map(({ from }) => from)}::bytea[], ${replacements.map(({ to }) => to)}::bytea[])
      AS n (key_id, version, old_hash, new_hash)
    WHERE v.key_id = n.key_id AND v.version = n.version AND v.hash = n.old_hash`.execute(db);
}

export interface PepperUse {
  version: number;
  /** Secrets that were hashed with it. */
  hashes: number;
  /** Those of them that may still be good one day: not revoked and not rotated away. */
  usable: number;
}

/** Of every pepper that was ever used, newest first. Reads every hash: for people, not for each request. */
export async function countPepperUses(db: Db): Promise<PepperUse[]> {
  const { rows } = await sql<PepperUse>`
    SELECT p.version, count(v.key_id)::int4 AS hashes,
      (count(v.key_id) FILTER (WHERE k.state <> 'revoked' AND (v.retires_at IS NULL OR v.retires_at > now())))::int4 AS usable
    FROM key_peppers p
    LEFT JOIN api_key_versions v ON v.pepper_version = p.version
    LEFT JOIN api_keys k ON k.id = v.key_id
    GROUP BY p.version ORDER BY p.version DESC`.execute(db);
  return rows;
}
