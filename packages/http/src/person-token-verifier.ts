/** A person's token from puabo-api (RFC 9068), checked without asking anybody: its keys are fetched ahead and kept. */
import { type Clock, Problem, systemClock, uuidOf } from "@nexus/core";
import { errors, type JWTPayload, jwtVerify } from "jose";
import type { PersonCaller } from "./caller.ts";
import { openJwks } from "./jwks.ts";

export interface PersonTokenOptions {
  /** Where the public keys are, such as `http://127.0.0.1:4000/api/auth/jwks`. */
  jwksUrl: string;
  issuer: string;
  audience: string;
  /** True for a token whose session has ended or whose person was changed since; it is asked of tokens that are good by themselves. */
  isEnded?: (token: { sessionId: string; userId: string; issuedAt: number }) => Promise<boolean>;
  clock?: Clock;
}

/** Longer than any token of ours; shorter than what would cost time to decode. */
const longest = 8192;

/**
 * The check of a person's token.
 * It throws `Problem("unauthenticated")` for a token that is not good and `Problem("unavailable")` when no key was ever had.
 */
export function personTokenVerifier(options: PersonTokenOptions): (token: string) => Promise<PersonCaller> {
  const clock = options.clock ?? systemClock;
  const jwks = openJwks({ url: options.jwksUrl, clock });
  return async (token) => {
    if (token.length > longest) throw new Problem("unauthenticated");
    let person: PersonCaller;
    let issuedAt: number;
    try {
      const { payload } = await jwtVerify(token, jwks, {
        issuer: options.issuer,
        audience: options.audience,
        typ: "at+jwt",
        algorithms: ["EdDSA", "Ed25519", "ES256"],
        clockTolerance: 5,
        currentDate: new Date(clock.now()),
        requiredClaims: ["sub", "sid", "org", "iat", "exp", "jti"],
      });
      person = personOfClaims(payload);
      issuedAt = (payload.iat ?? 0) * 1000;
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new Problem("unauthenticated", reasonOf(error, options.audience));
      throw error;
    }
    const { sessionId, userId } = person;
    if (await options.isEnded?.({ sessionId, userId, issuedAt })) throw new Problem("unauthenticated", "the session has ended");
    return person;
  };
}

/** Of all reasons these alone are the caller's to act on, and they are told of tokens with a good signature; others would help to forge. */
function reasonOf(error: errors.JOSEError, audience: string): string | undefined {
  if (error instanceof errors.JWTExpired) return "the token has expired";
  const isForAnother =
    error instanceof errors.JWTClaimValidationFailed && error.claim === "aud" && error.reason === "check_failed";
  return isForAnother ? `the token is for another service; this one wants audience=${audience}` : undefined;
}

function personOfClaims(claims: JWTPayload): PersonCaller {
  const { sub, sid, org, roles } = claims;
  if (typeof sub !== "string" || typeof sid !== "string" || typeof org !== "string") throw new Problem("unauthenticated");
  if (!uuidOf("user", sub) || !uuidOf("session", sid) || !uuidOf("organization", org)) throw new Problem("unauthenticated");
  if (!Array.isArray(roles) || !roles.every((role) => typeof role === "string")) throw new Problem("unauthenticated");
  return {
    kind: "person",
    userId: sub as PersonCaller["userId"],
    sessionId: sid as PersonCaller["sessionId"],
    organizationId: org as PersonCaller["organizationId"],
    roles,
  };
}
