import type { AuditContext, AuditWriter } from "@nexus/audit";
import type { Change } from "@nexus/change-feed";
import { assert, type Clock, uuidOf } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { Verifier } from "@nexus/key-check";
import type { SessionCache } from "./session-cache.ts";
import type { Session } from "./session.ts";
import { recordSessionChange, revokeSession } from "./sessions.store.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  sessionCache: SessionCache;
  verifier: Pick<Verifier, "feed">;
}

/**
 * Ends a session: the row, the audit entry and the change feed in one transaction, then the cache. When it returns, no replica
 * finds the session in PostgreSQL, a cache that could not be reached is not believed until it has been, and other services are told.
 */
export async function endSession(
  needs: Needs,
  ended: { session: Session; tokenHash: Buffer; context: AuditContext },
): Promise<void> {
  const { session, tokenHash, context } = ended;
  const id = uuidOf("session", session.id);
  const organizationId = uuidOf("organization", session.organizationId);
  assert(id && organizationId, "a stored session has whole ids");
  const changes = await inTransaction(needs.db, async (tx): Promise<Change[]> => {
    if (!(await revokeSession(tx, id, new Date(needs.clock.now()), "sign_out"))) return [];
    await needs.audit.write(tx, {
      action: "user.signed_out",
      outcome: "success",
      organizationId: session.organizationId,
      actor: { kind: "person", id: session.user.id },
      targets: [{ kind: "session", id: session.id }],
      context,
      details: {},
    });
    return [await recordSessionChange(tx, id, organizationId)];
  });
  needs.verifier.feed.announce(changes);
  await needs.sessionCache.forget(session.user.id, tokenHash);
}
