import { assert, type Clock, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { SessionCache } from "./session-cache.ts";
import { hashSessionToken } from "./session-token.ts";
import { isLive, type Session, type SessionLifetime, touchAfterMs } from "./session.ts";
import { findLiveSession, touchSession } from "./sessions.store.ts";

interface Needs {
  db: Db;
  clock: Clock;
  sessionCache: SessionCache;
  sessionLifetime: SessionLifetime;
}

/**
 * The live session behind a token, from the cache or from PostgreSQL; `undefined` for a token that opens none.
 * With PostgreSQL away it throws what PostgreSQL threw: not knowing is never "signed out".
 */
export async function findSession(needs: Needs, token: string): Promise<Session | undefined> {
  const tokenHash = hashSessionToken(token);
  if (!tokenHash) return undefined;
  const now = needs.clock.now();
  const cached = await needs.sessionCache.read(tokenHash);
  if (cached) return isLive(cached, now) ? cached : undefined;
  const stored = await findLiveSession(needs.db, tokenHash, new Date(now));
  if (!stored) return undefined;
  const session = await touch(needs, stored, now);
  const ticket = await needs.sessionCache.ticketFor(session.user.id);
  if (!ticket) return session;
  // Read once more: only a row seen after the ticket was given may be kept. Whatever ends the session from here on voids the ticket.
  const confirmed = await findLiveSession(needs.db, tokenHash, new Date(now));
  if (confirmed) await needs.sessionCache.fill(tokenHash, ticket, confirmed);
  return confirmed;
}

async function touch(needs: Needs, session: Session, now: number): Promise<Session> {
  if (now - session.lastSeenAt < touchAfterMs) return session;
  const id = uuidOf("session", session.id);
  assert(id, "a stored session has a whole id");
  const idleExpiresAt = Math.min(now + needs.sessionLifetime.idleMs, session.absoluteExpiresAt);
  await touchSession(needs.db, id, new Date(now), new Date(idleExpiresAt));
  return { ...session, lastSeenAt: now, idleExpiresAt };
}
