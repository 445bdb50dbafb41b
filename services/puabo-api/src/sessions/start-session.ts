import { isIP } from "node:net";
import { newUuid, toId, uuidOf, type OrganizationId, type SessionId } from "@nexus/core";
import { assert, type Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { generateSessionToken, hashSessionToken } from "./session-token.ts";
import type { Session, SessionLifetime, SessionUser } from "./session.ts";
import { insertSession } from "./sessions.store.ts";

interface NewSession {
  user: SessionUser;
  organizationId: OrganizationId;
  /** How the person proved who they are (RFC 8176): `["pwd"]`. */
  amr: string[];
  ip: string | null;
  userAgent: string | null;
}

/** Starts a session inside the transaction of its sign-in. The token is always a new one, whatever the browser came with. */
export async function startSession(
  needs: { clock: Clock; sessionLifetime: SessionLifetime },
  tx: Db,
  wanted: NewSession,
): Promise<{ token: string; session: Session }> {
  const now = needs.clock.now();
  const id = newUuid(now);
  const token = generateSessionToken();
  const tokenHash = hashSessionToken(token);
  const userId = uuidOf("user", wanted.user.id);
  const organizationId = uuidOf("organization", wanted.organizationId);
  assert(tokenHash && userId && organizationId, "a session is made of whole ids");
  const session: Session = {
    ...wanted,
    id: toId("session", id) satisfies SessionId,
    aal: 1,
    authTime: now,
    createdAt: now,
    lastSeenAt: now,
    idleExpiresAt: now + Math.min(needs.sessionLifetime.idleMs, needs.sessionLifetime.absoluteMs),
    absoluteExpiresAt: now + needs.sessionLifetime.absoluteMs,
  };
  await insertSession(tx, {
    id,
    tokenHash,
    userId,
    organizationId,
    amr: session.amr,
    aal: session.aal,
    now: new Date(now),
    ip: addressOf(session.ip),
    userAgent: session.userAgent,
    idleExpiresAt: new Date(session.idleExpiresAt),
    absoluteExpiresAt: new Date(session.absoluteExpiresAt),
  });
  return { token, session };
}

/** An address that PostgreSQL's `inet` takes: without the zone of a link-local one (RFC 4007), and nothing else. */
function addressOf(ip: string | null): string | null {
  const address = ip?.split("%", 1)[0] ?? "";
  return isIP(address) === 0 ? null : address;
}
