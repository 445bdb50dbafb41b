import type { AuditContext, AuditWriter } from "@nexus/audit";
import type { SignUpRequest } from "@nexus/contracts/accounts";
import type { Clock } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { AttemptLimiter } from "../limits/attempt-limiter.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import type { Session, SessionLifetime } from "../sessions/session.ts";
import { acceptPassword } from "./accept-password.ts";
import { admitPerson } from "./admit-person.ts";
import { authProblem } from "./auth-problem.ts";
import { parseEmailAddress } from "./email-address.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  hasher: PasswordHasher;
  limiter: AttemptLimiter;
  sessionLifetime: SessionLifetime;
  signUpOpen: boolean;
  passwordMinLength: number;
}

/** A new person with an organization of their own, signed in. @throws Problem while sign-up is closed, or for a bad address or password */
export async function signUp(
  needs: Needs,
  request: SignUpRequest,
  context: AuditContext,
): Promise<{ token: string; session: Session }> {
  if (!needs.signUpOpen) throw authProblem("EMAIL_PASSWORD_SIGN_UP_DISABLED");
  const email = parseEmailAddress(request.email);
  if (email === undefined) throw authProblem("INVALID_EMAIL");
  acceptPassword(request.password, { email, name: request.name }, needs.passwordMinLength);
  await needs.limiter.admitSignUp(context.ip);
  // Before the address is looked up: a taken one answers as late as a free one.
  const passwordHash = await needs.hasher.hash(request.password);
  const person = { email, name: request.name, image: request.image ?? null, role: "user" as const, passwordHash };
  return await inTransaction(needs.db, (tx) =>
    admitPerson(needs, tx, { person, context, action: "user.signed_up", details: { role: person.role } }),
  );
}
