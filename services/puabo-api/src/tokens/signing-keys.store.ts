import type { Db } from "@nexus/db";
import type { JWK } from "jose";
import { sql } from "kysely";
import type { WrappedSigningKey } from "./signing-key.ts";

/** One at a time over all replicas, until the transaction ends. */
export async function lockSigningKeys(tx: Db): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('nexus.signing_keys'))`.execute(tx);
}

/** Keys that still verify tokens, the newest first; the first one signs. */
export async function findSigningKeys(db: Db): Promise<WrappedSigningKey[]> {
  const rows = await db
    .selectFrom("signing_keys")
    .select(["kid", "algorithm", "public_jwk", "wrapped_private_jwk"])
    .where("retired_at", "is", null)
    .orderBy("active_from", "desc")
    .orderBy("kid")
    .execute();
  return rows.map((row) => ({
    kid: row.kid,
    algorithm: row.algorithm,
    publicJwk: row.public_jwk as JWK,
    wrappedPrivateJwk: row.wrapped_private_jwk,
  }));
}

export async function insertSigningKey(tx: Db, key: WrappedSigningKey, activeFrom: Date): Promise<void> {
  await tx
    .insertInto("signing_keys")
    .values({
      kid: key.kid,
      algorithm: key.algorithm,
      public_jwk: JSON.stringify(key.publicJwk),
      wrapped_private_jwk: key.wrappedPrivateJwk,
      active_from: activeFrom,
    })
    .execute();
}
