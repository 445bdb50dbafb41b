/** What a session is: who, since when, until when. The token that proves it is nowhere in here. */
import type { AuthSession, AuthUser } from "@nexus/contracts/accounts";
import type { OrganizationId, SessionId, UserId } from "@nexus/core";

export interface SessionUser {
  id: UserId;
  email: string;
  emailVerified: boolean;
  name: string;
  image: string | null;
  role: "user" | "admin";
  /** RFC 3339. */
  createdAt: string;
  updatedAt: string;
}

/** Plain JSON on purpose: this is also what the cache holds. Times are milliseconds since the epoch. */
export interface Session {
  id: SessionId;
  user: SessionUser;
  organizationId: OrganizationId;
  amr: string[];
  aal: number;
  authTime: number;
  createdAt: number;
  lastSeenAt: number;
  idleExpiresAt: number;
  absoluteExpiresAt: number;
  ip: string | null;
  userAgent: string | null;
}

export interface SessionLifetime {
  /** A session that is not used for so long has ended. */
  idleMs: number;
  /** However much it is used. */
  absoluteMs: number;
}

/** The idle expiry moves on at most this often: a session in constant use costs one small write a minute. */
export const touchAfterMs = 60_000;

export function isLive(session: Session, nowMs: number): boolean {
  return nowMs < session.idleExpiresAt && nowMs < session.absoluteExpiresAt;
}

/** The wire form of a person. */
export function presentUser(user: SessionUser): AuthUser {
  return { ...user };
}

/** The wire form of a session; where the format has the secret `token`, the public id stands. */
export function presentSession(session: Session): AuthSession {
  return {
    id: session.id,
    token: session.id,
    userId: session.user.id,
    activeOrganizationId: session.organizationId,
    expiresAt: new Date(Math.min(session.idleExpiresAt, session.absoluteExpiresAt)).toISOString(),
    createdAt: new Date(session.createdAt).toISOString(),
    updatedAt: new Date(session.lastSeenAt).toISOString(),
    ipAddress: session.ip,
    userAgent: session.userAgent,
  };
}
