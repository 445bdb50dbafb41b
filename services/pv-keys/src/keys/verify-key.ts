import type { RefusedKey, VerifyKeyAnswer, VerifyKeyRequest } from "@nexus/contracts/verify-key";
import { allowsScope, type Clock, parseApiKey } from "@nexus/core";
import type { Db } from "@nexus/db";
import { keyDigest, type Peppers, storedHash } from "../peppers.ts";
import { validAnswer } from "./key.ts";
import { findKeyByHash } from "./keys.store.ts";

/** Whether a key is good, and for what. What is not even a key never reaches the database. */
export async function verifyKey(
  deps: { db: Db; clock: Clock; peppers: Peppers },
  request: VerifyKeyRequest,
): Promise<VerifyKeyAnswer> {
  if (!parseApiKey(request.key)) return refuse("not_found");
  const digest = keyDigest(request.key);
  const row = await findKeyByHash(
    deps.db,
    [...deps.peppers.versions.values()].map((pepper) => storedHash(digest, pepper)),
  );
  if (!row) return refuse("not_found");
  if (row.state === "revoked") return refuse("revoked");
  if (row.state === "disabled") return refuse("disabled");
  if (row.expires_at !== null && row.expires_at.getTime() <= deps.clock.now()) return refuse("expired");
  if (request.scope !== undefined && !allowsScope(row.scopes, request.scope)) return refuse("insufficient_scope");
  return validAnswer(row);
}

function refuse(code: RefusedKey["code"]): RefusedKey {
  return { valid: false, code };
}
