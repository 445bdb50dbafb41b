import { type Clock, Problem } from "@nexus/core";
import type { Db } from "@nexus/db";
import { bearerOf, type Caller } from "@nexus/http";
import { authenticateKey, isKey, type Verifier } from "@nexus/key-check";
import { findSession } from "./find-session.ts";
import type { SessionCache } from "./session-cache.ts";
import type { SessionCookie } from "./session-cookie.ts";
import type { Session, SessionLifetime } from "./session.ts";

interface Needs {
  db: Db;
  clock: Clock;
  sessionCache: SessionCache;
  sessionCookie: SessionCookie;
  sessionLifetime: SessionLifetime;
}

interface Asking {
  headers: { cookie?: string | undefined };
}

/** The session that a request's cookie opens; `undefined` without a cookie or with one that opens none. */
export async function sessionOf(needs: Needs, request: Asking): Promise<Session | undefined> {
  const token = needs.sessionCookie.read(request.headers.cookie);
  return token === undefined ? undefined : await findSession(needs, token);
}

/**
 * Who is calling the published listener: a program by its key, or a person by the session cookie.
 * @throws Problem `unauthenticated` for a dead one, `forbidden`, `frozen`, or `unavailable` when nobody can tell
 */
export async function authenticate(
  needs: Needs & { verifier: Pick<Verifier, "checker"> },
  request: Asking & { headers: { authorization?: string | undefined }; ip: string },
): Promise<Caller | undefined> {
  const token = bearerOf(request.headers.authorization);
  const { checker } = needs.verifier;
  if (token !== undefined && isKey(checker, token)) return await authenticateKey(checker, token, request.ip);
  if (needs.sessionCookie.read(request.headers.cookie) === undefined) return undefined;
  const session = await sessionOf(needs, request);
  if (!session)
    throw new Problem("unauthenticated", "the session has ended", { headers: { "www-authenticate": 'Bearer realm="nexus"' } });
  return {
    kind: "person",
    userId: session.user.id,
    organizationId: session.organizationId,
    sessionId: session.id,
    roles: [session.user.role],
  };
}
