/** Who calls the gateway: a program with an API key, or a person with a token from puabo-api. */
import type { ValidKey } from "@nexus/contracts/verify-key";
import { type KeyId, type OrganizationId, Problem, type UserId } from "@nexus/core";
import { bearerOf, type Caller, type KeyCaller, type PersonCaller } from "@nexus/http";
import { allowsAddress, type Verifier } from "@nexus/key-check";

interface AuthDeps {
  verifier: Pick<Verifier, "checker">;
  verifyPerson(token: string): Promise<PersonCaller>;
}

interface Presented {
  headers: { authorization?: string | undefined };
  ip: string;
}

/** `undefined`: no credential. @throws Problem `unauthenticated`, `forbidden`, `rate_limited`, or `unavailable` when nobody can tell */
export async function authenticate(deps: AuthDeps, request: Presented): Promise<Caller | undefined> {
  const { authorization } = request.headers;
  if (authorization === undefined) return undefined;
  const token = bearerOf(authorization);
  if (token === undefined) throw invalidCredential();
  const { checker } = deps.verifier;
  // Imported keys have the shape that their format was registered with.
  if (!token.startsWith("pv_") && !checker.mayBeKey(token)) return await deps.verifyPerson(token);
  const answer = checker.known(token) ?? (await checker.check(token, request.ip));
  if (!answer.valid) throw refusalOf(answer.code);
  if (!allowsAddress(answer.ip_allow, request.ip)) throw refusalOf("ip_not_allowed");
  return callerFrom(answer);
}

/** A program, with all that its key carries. */
interface ProgramCaller extends KeyCaller {
  readonly record: ValidKey;
}

/** `undefined`: no program calls. */
export function keyRecordOf(caller: Caller): ValidKey | undefined {
  return caller.kind === "key" ? (caller as ProgramCaller).record : undefined;
}

function callerFrom(answer: ValidKey): ProgramCaller {
  return {
    kind: "key",
    keyId: answer.key_id as KeyId,
    keyKind: answer.kind,
    organizationId: answer.organization_id as OrganizationId,
    ownerUserId: answer.owner.kind === "user" ? (answer.owner.id as UserId | null) : null,
    scopes: answer.scopes,
    models: answer.models,
    record: answer,
  };
}

function refusalOf(code: string): Problem {
  if (code === "ip_not_allowed") return new Problem("forbidden", "This key may not be used from this address.");
  if (code === "insufficient_scope") return new Problem("forbidden", "The key lacks a scope.");
  if (code === "rate_limited" || code === "quota_exceeded")
    return new Problem("rate_limited", undefined, { headers: { "retry-after": "1" } });
  if (code === "frozen") return new Problem("frozen");
  // Unknown, revoked, expired and disabled look the same from outside.
  return invalidCredential();
}

function invalidCredential(): Problem {
  return new Problem("unauthenticated", "The credential is not valid.", {
    headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
  });
}
