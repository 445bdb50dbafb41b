import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** All that concerns the first administrator happens one at a time over all replicas, until the transaction ends. */
export async function lockSetup(tx: Db): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('nexus.setup'))`.execute(tx);
}

export async function adminExists(db: Db): Promise<boolean> {
  const row = await db.selectFrom("users").select("id").where("role", "=", "admin").limit(1).executeTakeFirst();
  return row !== undefined;
}

/** Voids every code that was not used and opens this one. */
export async function replaceSetupCode(tx: Db, codeHash: Buffer, times: { now: Date; expiresAt: Date }): Promise<void> {
  await tx.deleteFrom("setup_codes").where("used_at", "is", null).execute();
  await tx
    .insertInto("setup_codes")
    .values({ code_hash: codeHash, created_at: times.now, expires_at: times.expiresAt })
    .execute();
}

/** True while the code opens the door: right, unused, not expired, and nobody is administrator yet. */
export async function isSetupOpen(db: Db, codeHash: Buffer, now: Date): Promise<boolean> {
  const row = await db
    .selectFrom("setup_codes")
    .select("code_hash")
    .where("code_hash", "=", codeHash)
    .where("used_at", "is", null)
    .where("expires_at", ">", now)
    .where((eb) => eb.not(eb.exists(eb.selectFrom("users").select("id").where("role", "=", "admin"))))
    .executeTakeFirst();
  return row !== undefined;
}

export async function useSetupCode(tx: Db, codeHash: Buffer, now: Date): Promise<void> {
  await tx.updateTable("setup_codes").set({ used_at: now }).where("code_hash", "=", codeHash).execute();
  // The door is gone: no other code may stay behind it.
  await tx.deleteFrom("setup_codes").where("used_at", "is", null).execute();
}
