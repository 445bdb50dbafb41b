import type { Audience } from "@nexus/contracts/accounts";
import { type Clock, newUuid } from "@nexus/core";
import { SignJWT } from "jose";
import type { Session } from "../sessions/session.ts";
import type { SigningKey } from "./signing-key.ts";

const lifetimeSeconds = 300;

interface Needs {
  clock: Clock;
  issuer: string;
  key: SigningKey;
}

/** A token (RFC 9068, `at+jwt`) with which a signed-in person reaches one other service for five minutes. */
export async function issueToken(
  needs: Needs,
  session: Session,
  audience: Audience,
): Promise<{ token: string; expiresAt: Date }> {
  const issuedAt = Math.floor(needs.clock.now() / 1000);
  const expiresAt = issuedAt + lifetimeSeconds;
  const token = await new SignJWT({ sid: session.id, org: session.organizationId, roles: [session.user.role] })
    .setProtectedHeader({ alg: needs.key.algorithm, kid: needs.key.kid, typ: "at+jwt" })
    .setIssuer(needs.issuer)
    .setAudience(audience)
    .setSubject(session.user.id)
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .setJti(newUuid(needs.clock.now()))
    .sign(needs.key.privateKey);
  return { token, expiresAt: new Date(expiresAt * 1000) };
}
