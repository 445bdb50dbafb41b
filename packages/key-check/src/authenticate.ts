/** Who comes with `Authorization: Bearer`: a program with an API key, or a person with a token. */
import type { ValidKey } from "@nexus/contracts/verify-key";
import { type KeyId, type OrganizationId, Problem, type UserId } from "@nexus/core";
import { bearerOf, type Caller, type KeyCaller, type PersonCaller } from "@nexus/http";
import { allowsAddress } from "./allows-address.ts";
import { frozenProblem } from "./freezes.ts";
import { freezeBehind } from "./key-cache.ts";
import type { KeyChecker } from "./open-key-checker.ts";

type Checker = Pick<KeyChecker, "known" | "check" | "mayBeKey">;

interface Presented {
  headers: { authorization?: string | undefined };
  ip: string;
}

/** `undefined`: no credential. @throws Problem `unauthenticated`, `forbidden`, `frozen`, or `unavailable` when nobody can tell */
export async function authenticateBearer(
  { checker, verifyPerson }: { checker: Checker; verifyPerson: (token: string) => Promise<PersonCaller> },
  { headers, ip }: Presented,
): Promise<Caller | undefined> {
  if (headers.authorization === undefined) return undefined;
  const token = bearerOf(headers.authorization);
  if (token === undefined) throw invalidCredential();
  return isKey(checker, token) ? await authenticateKey(checker, token, ip) : await verifyPerson(token);
}

/** Imported keys have the shape that their format was registered with. */
export function isKey(checker: Pick<Checker, "mayBeKey">, token: string): boolean {
  return token.startsWith("pv_") || checker.mayBeKey(token);
}

/** A program, with all that its key carries. */
interface ProgramCaller extends KeyCaller {
  readonly record: ValidKey;
}

/**
 * The program whose key this is. No network call and no SQL for a key that this process has heard of.
 * @throws Problem `unauthenticated`, `forbidden`, `frozen`, `unavailable`
 */
export async function authenticateKey(checker: Checker, key: string, ip: string): Promise<ProgramCaller> {
  const answer = checker.known(key) ?? (await checker.check(key, ip));
  // Unknown, revoked, expired and disabled look the same from outside.
  if (!answer.valid) throw answer.code === "frozen" ? frozen(freezeBehind(answer)) : invalidCredential();
  if (!allowsAddress(answer.ip_allow, ip)) throw new Problem("forbidden", "This key may not be used from this address.");
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

function frozen(kind: ReturnType<typeof freezeBehind>): Problem {
  return kind === undefined ? new Problem("frozen") : frozenProblem({ kind, target: "" });
}

/** `undefined`: no program calls. */
export function keyRecordOf(caller: Caller): ValidKey | undefined {
  return caller.kind === "key" ? (caller as ProgramCaller).record : undefined;
}

function invalidCredential(): Problem {
  return new Problem("unauthenticated", "The credential is not valid.", {
    headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
  });
}
