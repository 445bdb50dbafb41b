/** Who calls pv-keys: a person with a token from puabo-api, or a service of the operator's with a key. */
import { type KeyId, Problem, type OrganizationId, type UserId } from "@nexus/core";
import { bearerOf, type Caller } from "@nexus/http";
import { allowsAddress } from "@nexus/key-check";
import type { Deps } from "./deps.ts";

export async function authenticate(
  deps: Deps,
  request: { headers: { authorization?: string | undefined }; ip: string },
): Promise<Caller | undefined> {
  const { authorization } = request.headers;
  if (authorization === undefined) return undefined;
  const token = bearerOf(authorization);
  if (token === undefined) throw invalidCredential();
  const { checker } = deps.verifier;
  // Imported keys have the shape that their format was registered with.
  if (!token.startsWith("pv_") && !checker.mayBeKey(token)) return await deps.verifyPerson(token);
  const answer = checker.known(token) ?? (await checker.check(token, request.ip));
  if (!answer.valid) throw answer.code === "frozen" ? new Problem("frozen") : invalidCredential();
  if (!allowsAddress(answer.ip_allow, request.ip)) throw new Problem("forbidden", "This key may not be used from this address.");
  return {
    kind: "key",
    keyId: answer.key_id as KeyId,
    keyKind: answer.kind,
    organizationId: answer.organization_id as OrganizationId,
    ownerUserId: answer.owner.kind === "user" ? (answer.owner.id as UserId) : null,
    scopes: answer.scopes,
    models: answer.models,
  };
}

function invalidCredential(): Problem {
  return new Problem("unauthenticated", "The credential is not valid.", {
    headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
  });
}
