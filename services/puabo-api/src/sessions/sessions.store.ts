import type { Change } from "@nexus/change-feed";
import { toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";
import { type Session, touchAfterMs } from "./session.ts";

interface NewSession {
  id: string;
  tokenHash: Buffer;
  userId: string;
  organizationId: string;
  amr: string[];
  aal: number;
  now: Date;
  ip: string | null;
  userAgent: string | null;
  idleExpiresAt: Date;
  absoluteExpiresAt: Date;
}

export async function insertSession(tx: Db, session: NewSession): Promise<void> {
  await tx
    .insertInto("sessions")
    .values({
      id: session.id,
      token_hash: session.tokenHash,
      user_id: session.userId,
      organization_id: session.organizationId,
      amr: session.amr,
      aal: session.aal,
      auth_time: session.now,
      ip: session.ip,
      user_agent: session.userAgent,
      created_at: session.now,
      last_seen_at: session.now,
      idle_expires_at: session.idleExpiresAt,
      absolute_expires_at: session.absoluteExpiresAt,
    })
    .execute();
}

/** The live session behind a token, with its person; `undefined` when it is unknown, ended, expired, or its person is disabled. */
export async function findLiveSession(db: Db, tokenHash: Buffer, now: Date): Promise<Session | undefined> {
  const row = await db
    .selectFrom("sessions as s")
    .innerJoin("users as u", "u.id", "s.user_id")
    .selectAll("s")
    .select(["u.email", "u.email_verified", "u.name", "u.image", "u.role"])
    .select(["u.created_at as user_created_at", "u.updated_at as user_updated_at"])
    .where("s.token_hash", "=", tokenHash)
    .where("s.revoked_at", "is", null)
    .where("s.idle_expires_at", ">", now)
    .where("s.absolute_expires_at", ">", now)
    .where("u.disabled_at", "is", null)
    .executeTakeFirst();
  if (!row) return undefined;
  return {
    id: toId("session", row.id),
    user: {
      id: toId("user", row.user_id),
      email: row.email,
      emailVerified: row.email_verified,
      name: row.name,
      image: row.image,
      role: row.role,
      createdAt: row.user_created_at.toISOString(),
      updatedAt: row.user_updated_at.toISOString(),
    },
    organizationId: toId("organization", row.organization_id),
    amr: row.amr,
    aal: row.aal,
    authTime: row.auth_time.getTime(),
    createdAt: row.created_at.getTime(),
    lastSeenAt: row.last_seen_at.getTime(),
    idleExpiresAt: row.idle_expires_at.getTime(),
    absoluteExpiresAt: row.absolute_expires_at.getTime(),
    ip: row.ip,
    userAgent: row.user_agent,
  };
}

/** Moves the idle expiry on, at most once a minute however many replicas see the session. */
export async function touchSession(db: Db, id: string, now: Date, idleExpiresAt: Date): Promise<void> {
  await db
    .updateTable("sessions")
    .set({ last_seen_at: now, idle_expires_at: idleExpiresAt })
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .where("last_seen_at", "<=", new Date(now.getTime() - touchAfterMs))
    .execute();
}

/** True when this call ended it; false when somebody already had. */
export async function revokeSession(tx: Db, id: string, now: Date, reason: string): Promise<boolean> {
  const result = await tx
    .updateTable("sessions")
    .set({ revoked_at: now, revoked_reason: reason })
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Puts it into the change feed; the last statement of its transaction, as later writers of the feed wait for its COMMIT. */
export async function recordSessionChange(tx: Db, id: string, organizationId: string): Promise<Change> {
  const { rows } = await sql<{
    rev: bigint;
  }>`SELECT record_change('session', ${id}::uuid, ${organizationId}::uuid) AS rev`.execute(tx);
  return { rev: Number(rows[0]?.rev), kind: "session", subjectId: id, organizationId };
}
