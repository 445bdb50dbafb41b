import type { AuditContext, AuditWriter } from "@nexus/audit";
import type { SetupRequest } from "@nexus/contracts/accounts";
import { type Clock, Problem } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import { acceptPassword } from "../accounts/accept-password.ts";
import { admitPerson } from "../accounts/admit-person.ts";
import { authProblem } from "../accounts/auth-problem.ts";
import { parseEmailAddress } from "../accounts/email-address.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import type { Session, SessionLifetime } from "../sessions/session.ts";
import { hashSetupCode } from "./setup-code.ts";
import { isSetupOpen, lockSetup, useSetupCode } from "./setup.store.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  hasher: PasswordHasher;
  sessionLifetime: SessionLifetime;
  passwordMinLength: number;
}

/** @throws Problem `not_found` unless this code opens the door at this moment */
export async function requireOpenSetup(needs: { db: Db; clock: Clock }, code: string): Promise<Buffer> {
  const codeHash = hashSetupCode(code);
  if (!(await isSetupOpen(needs.db, codeHash, new Date(needs.clock.now())))) throw new Problem("not_found");
  return codeHash;
}

/**
 * Makes the first administrator and signs them in. The code is looked at before anything is hashed, and again under the lock:
 * of two that come at once, one makes the administrator and the other finds no door.
 */
export async function completeSetup(
  needs: Needs,
  request: SetupRequest,
  context: AuditContext,
): Promise<{ token: string; session: Session }> {
  const codeHash = await requireOpenSetup(needs, request.code);
  const email = parseEmailAddress(request.email);
  if (email === undefined) throw authProblem("INVALID_EMAIL");
  acceptPassword(request.password, { email, name: request.name }, needs.passwordMinLength);
  const passwordHash = await needs.hasher.hash(request.password);
  return await inTransaction(needs.db, async (tx) => {
    await lockSetup(tx);
    await requireOpenSetup({ db: tx, clock: needs.clock }, request.code);
    await useSetupCode(tx, codeHash, new Date(needs.clock.now()));
    const person = { email, name: request.name, image: null, role: "admin" as const, passwordHash };
    return await admitPerson(needs, tx, { person, context, action: "setup.completed", details: { role: "admin", way: "link" } });
  });
}
