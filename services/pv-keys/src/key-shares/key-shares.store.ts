/** Every statement about share links. */
import type { Db, Tables } from "@nexus/db";
import { type Insertable, sql } from "kysely";

export async function insertShare(db: Db, share: Omit<Insertable<Tables["key_shares"]>, "opened_at">): Promise<void> {
  await db.insertInto("key_shares").values(share).execute();
}

/** Secrets of links that ran out go with the next link that is made; the rows, which say what became of a link, after a month. */
export async function clearShares(db: Db): Promise<void> {
  await db
    .deleteFrom("key_shares")
    .where("expires_at", "<", sql<Date>`now() - interval '30 days'`)
    .execute();
  await db
    .updateTable("key_shares")
    .set({ ciphertext: null })
    .where("expires_at", "<=", sql<Date>`now()`)
    .where("ciphertext", "is not", null)
    .execute();
}

export interface FoundShare {
  id: string;
  key_id: string;
  version: number;
  organization_id: string;
  ciphertext: Buffer | null;
  expires_at: Date;
  opened_at: Date | null;
  /** By PostgreSQL's clock, as the expiry of keys. */
  is_over: boolean;
  /** The secret no longer works, or never will again. */
  is_dead: boolean;
  name: string;
  display_prefix: string;
  key_expires_at: Date | null;
}

/** The share of this token, locked until the transaction ends: of two that open it at once, the second sees it opened. */
export async function lockShare(tx: Db, tokenHash: Buffer): Promise<FoundShare | undefined> {
  return await tx
    .selectFrom("key_shares as s")
    .innerJoin("api_key_versions as v", (join) => join.onRef("v.key_id", "=", "s.key_id").onRef("v.version", "=", "s.version"))
    .innerJoin("api_keys as k", "k.id", "s.key_id")
    .select(["s.id", "s.key_id", "s.version", "k.organization_id", "s.ciphertext", "s.expires_at", "s.opened_at"])
    .select(["k.name", "v.display_prefix"])
    .select([
      sql<boolean>`s.expires_at <= now()`.as("is_over"),
      sql<boolean>`k.state = 'revoked' OR coalesce(least(k.expires_at, v.retires_at) <= now(), false)`.as("is_dead"),
      sql<Date | null>`least(k.expires_at, v.retires_at)`.as("key_expires_at"),
    ])
    .where("s.token_hash", "=", tokenHash)
    .forUpdate("s")
    .executeTakeFirst();
}

/** The secret leaves the database with its one showing. */
export async function markOpened(tx: Db, shareId: string, at: Date): Promise<void> {
  await tx.updateTable("key_shares").set({ opened_at: at, ciphertext: null }).where("id", "=", shareId).execute();
}
