import type { RefusedKey, VerifyKeyAnswer, VerifyKeyRequest } from "@nexus/contracts/verify-key";
import { allowsScope } from "@nexus/core";
import type { KeyChecker } from "@nexus/key-check";

const insufficientScope: RefusedKey = Object.freeze({ valid: false, code: "insufficient_scope" });

/** Whether a key is good, and for what. What is not even a key never reaches the database. */
export async function verifyKey(checker: KeyChecker, { key, scope }: VerifyKeyRequest): Promise<VerifyKeyAnswer> {
  const answer = checker.known(key) ?? (await checker.check(key));
  if (answer.valid && scope !== undefined && !allowsScope(answer.scopes, scope)) return insufficientScope;
  return answer;
}
