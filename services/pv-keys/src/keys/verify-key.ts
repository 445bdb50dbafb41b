import type { RefusedKey, VerifyKeyAnswer, VerifyKeyRequest } from "@nexus/contracts/verify-key";
import { allowsScope, parseApiKey } from "@nexus/core";
import { keyDigest, type Peppers, storedHash } from "../peppers.ts";
import type { PepperCheck } from "./confirm-peppers.ts";
import { validAnswer, type VerifiedKey } from "./key.ts";

interface VerifyKeyDeps {
  findKey: (hashes: readonly Buffer[]) => Promise<VerifiedKey | undefined>;
  peppers: Peppers;
  pepperCheck: PepperCheck;
}

/** Whether a key is good, and for what. What is not even a key never reaches the database. */
export async function verifyKey(deps: VerifyKeyDeps, request: VerifyKeyRequest): Promise<VerifyKeyAnswer> {
  if (!parseApiKey(request.key)) return refuse("not_found");
  if (!deps.pepperCheck.confirmed) await deps.pepperCheck.confirm();
  const digest = keyDigest(request.key);
  const row = await deps.findKey([...deps.peppers.versions.values()].map((pepper) => storedHash(digest, pepper)));
  if (!row) return refuse("not_found");
  if (row.state !== "active") return refuse(row.state);
  if (request.scope !== undefined && !allowsScope(row.scopes, request.scope)) return refuse("insufficient_scope");
  return validAnswer(row);
}

function refuse(code: RefusedKey["code"]): RefusedKey {
  return { valid: false, code };
}
