import type { AuditContext, AuditEntry, AuditWriter } from "@nexus/audit";
import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Session, SessionLifetime } from "../sessions/session.ts";
import { startSession } from "../sessions/start-session.ts";
import { createPerson, type NewPerson } from "./create-person.ts";

interface Needs {
  clock: Clock;
  audit: AuditWriter;
  sessionLifetime: SessionLifetime;
}

interface Admission {
  person: NewPerson;
  context: AuditContext;
  /** What the audit log calls it. */
  action: AuditEntry["action"];
  details: AuditEntry["details"];
}

/** A new person with an organization of their own, signed in: one transaction's work, told by one audit entry. */
export async function admitPerson(needs: Needs, tx: Db, admission: Admission): Promise<{ token: string; session: Session }> {
  const { person, context, action, details } = admission;
  const { user, organizationId } = await createPerson(needs, tx, person);
  const wanted = { user, organizationId, amr: ["pwd"], ip: context.ip ?? null, userAgent: context.user_agent ?? null };
  const started = await startSession(needs, tx, wanted);
  await needs.audit.write(tx, {
    action,
    outcome: "success",
    organizationId,
    actor: { kind: "person", id: user.id },
    targets: [
      { kind: "user", id: user.id },
      { kind: "organization", id: organizationId },
      { kind: "session", id: started.session.id },
    ],
    context,
    details,
    personal: { email: user.email },
  });
  return started;
}
