import type { AuditWriter } from "@nexus/audit";
import { ConfigError } from "@nexus/config";
import { assert, type Clock } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { JWK } from "jose";
import { generateSigningKey, type SigningKey, unwrapSigningKey } from "./signing-key.ts";
import { findSigningKeys, insertSigningKey, lockSigningKeys } from "./signing-keys.store.ts";

export interface SigningKeys {
  /** Signs new tokens. */
  current: SigningKey;
  /** Public halves of all that still verify (RFC 7517). */
  publicJwks: JWK[];
}

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
}

/**
 * Opens the signing keys of this installation; the first start makes one, under a lock, so that replicas that start together
 * share it.
 * @throws ConfigError when JWT_SECRET does not open a stored key: going on would make tokens that the next replica cannot renew
 */
export async function ensureSigningKey(needs: Needs, jwtSecret: string): Promise<SigningKeys> {
  const stored = await inTransaction(needs.db, async (tx) => {
    await lockSigningKeys(tx);
    const found = await findSigningKeys(tx);
    if (found.length > 0) return found;
    const made = await generateSigningKey(jwtSecret);
    await insertSigningKey(tx, made, new Date(needs.clock.now()));
    await needs.audit.write(tx, {
      action: "signing_key.created",
      outcome: "success",
      actor: { kind: "system", id: "puabo-api" },
      targets: [{ kind: "signing_key", id: made.kid }],
      context: {},
      details: { algorithm: made.algorithm },
    });
    return [made];
  });
  const opened = await Promise.all(stored.map((key) => unwrapSigningKey(key, jwtSecret)));
  if (opened.includes(undefined)) {
    throw new ConfigError([
      "JWT_SECRET does not open the signing keys in the database: it is not the secret they were stored with",
    ]);
  }
  const current = opened[0];
  assert(current, "the first signing key was just opened");
  return { current, publicJwks: stored.map((key) => key.publicJwk) };
}
