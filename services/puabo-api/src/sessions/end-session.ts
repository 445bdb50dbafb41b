import type { AuditContext, AuditWriter } from "@nexus/audit";
import { assert, type Clock, uuidOf } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { SessionCache } from "./session-cache.ts";
import type { Session } from "./session.ts";
import { recordSessionChange, revokeSession } from "./sessions.store.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  sessionCache: SessionCache;
}

/**
 * Ends a session: the row, the audit entry and the change feed in one transaction, then the cache. When it returns, no replica
 * finds the session in PostgreSQL, and a cache that could not be reached is not believed until it has been.
 */
export async function endSession(
  needs: Needs,
  ended: { session: Session; tokenHash: Buffer; context: AuditContext },
): Promise<void> {
  const { session, tokenHash, context } = ended;
  const id = uuidOf("session", session.id);
  const organizationId = uuidOf("organization", session.organizationId);
  assert(id && organizationId, "a stored session has whole ids");
  await inTransaction(needs.db, async (tx) => {
    if (!(await revokeSession(tx, id, new Date(needs.clock.now()), "sign_out"))) return;
    await needs.audit.write(tx, {
      action: "user.signed_out",
      outcome: "success",
      organizationId: session.organizationId,
      actor: { kind: "person", id: session.user.id },
      targets: [{ kind: "session", id: session.id }],
      context,
      details: {},
    });
    await recordSessionChange(tx, id, organizationId);
  });
  await needs.sessionCache.forget(session.user.id, tokenHash);
}
