import type { AuditContext, AuditWriter } from "@nexus/audit";
import type { SignInRequest } from "@nexus/contracts/accounts";
import type { Clock } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { AttemptLimiter } from "../limits/attempt-limiter.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import type { Session, SessionLifetime } from "../sessions/session.ts";
import { startSession } from "../sessions/start-session.ts";
import { type Credential, findCredential, lockCredential, replacePasswordHash } from "./accounts.store.ts";
import { authProblem } from "./auth-problem.ts";
import { parseEmailAddress } from "./email-address.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  hasher: PasswordHasher;
  limiter: AttemptLimiter;
  sessionLifetime: SessionLifetime;
}

type Refusal = "unknown_account" | "wrong_password" | "disabled" | "changed_meanwhile";

/**
 * Signs a person in with a password. Unknown address, wrong password and disabled person get one answer after one hash: nobody
 * learns who has an account. @throws Problem also when there were too many attempts
 */
export async function signIn(
  needs: Needs,
  request: SignInRequest,
  context: AuditContext,
): Promise<{ token: string; session: Session }> {
  const email = parseEmailAddress(request.email);
  if (email === undefined) throw authProblem("INVALID_EMAIL");
  await needs.limiter.admitSignIn(email, context.ip);
  let found = await findCredential(needs.db, email);
  // Twice at most: a hash that was stored anew between reading and committing is read once more.
  for (let tries = 0; tries < 2; tries++) {
    const { matches, rehash } = await needs.hasher.verify(found?.passwordHash, request.password);
    if (!found || !matches || found.disabled) {
      return await refuse(needs, found ? (matches ? "disabled" : "wrong_password") : "unknown_account", {
        email,
        found,
        context,
      });
    }
    const started = await commitSignIn(needs, found, context);
    if (started) {
      await needs.limiter.forgive(email);
      if (rehash) await storeAnew(needs, found, request.password);
      return started;
    }
    found = await findCredential(needs.db, email);
  }
  return await refuse(needs, "changed_meanwhile", { email, found, context });
}

/** The session and its audit entry; `undefined` when the credential is no longer the one that was verified. */
async function commitSignIn(needs: Needs, found: Credential, context: AuditContext) {
  return await inTransaction(needs.db, async (tx) => {
    if (!(await lockCredential(tx, found))) return undefined;
    const { user, organizationId } = found;
    const wanted = { user, organizationId, amr: ["pwd"], ip: context.ip ?? null, userAgent: context.user_agent ?? null };
    const started = await startSession(needs, tx, wanted);
    await needs.audit.write(tx, {
      action: "user.signed_in",
      outcome: "success",
      organizationId,
      actor: { kind: "person", id: user.id },
      targets: [{ kind: "session", id: started.session.id }],
      context,
      details: { amr: ["pwd"] },
    });
    return started;
  });
}

/** The same password under today's parameters; only if nobody changed it meanwhile. */
async function storeAnew(needs: Needs, found: Credential, password: string): Promise<void> {
  const passwordHash = await needs.hasher.hash(password);
  await replacePasswordHash(needs.db, found, { passwordHash, now: new Date(needs.clock.now()) });
}

async function refuse(
  needs: Needs,
  reason: Refusal,
  attempt: { email: string; found: Credential | undefined; context: AuditContext },
): Promise<never> {
  await inTransaction(needs.db, (tx) =>
    needs.audit.write(tx, {
      action: "user.signed_in",
      outcome: "failure",
      actor: { kind: "anonymous" },
      targets: attempt.found ? [{ kind: "user", id: attempt.found.user.id }] : [],
      context: attempt.context,
      details: { reason },
      personal: { email: attempt.email },
    }),
  );
  throw authProblem("INVALID_EMAIL_OR_PASSWORD");
}
