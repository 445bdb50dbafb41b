import { Problem, uuidOf } from "@nexus/core";
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from "jose";
/** Verifies the five-minute tokens by which people reach the other services (RFC 9068 access tokens). */
import type { PersonCaller } from "./caller.ts";

interface VerifierOptions {
  jwksUrl: string;
  issuer: string;
  audience: string;
}

/**
 * Keys are fetched once and kept for ten minutes; an unknown key id asks again at most every 30 s.
 * The verifier throws Problem `unauthenticated` for a bad token and `unavailable` when no key can be had.
 */
export function personTokenVerifier(options: VerifierOptions): (token: string) => Promise<PersonCaller> {
  const keys = createRemoteJWKSet(new URL(options.jwksUrl), {
    timeoutDuration: 2000,
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
  });
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: options.issuer,
        audience: options.audience,
        typ: "at+jwt",
        algorithms: ["EdDSA", "ES256"],
        clockTolerance: 5,
        requiredClaims: ["sub", "sid", "org", "roles", "iat", "exp", "jti"],
      });
      return personFrom(payload);
    } catch (error) {
      throw refusal(error);
    }
  };
}

function personFrom(payload: JWTPayload): PersonCaller {
  const { sub, sid, org, roles } = payload as Record<string, unknown>;
  const wellFormed =
    typeof sub === "string" &&
    uuidOf("user", sub) &&
    typeof sid === "string" &&
    uuidOf("session", sid) &&
    typeof org === "string" &&
    uuidOf("organization", org);
  if (!wellFormed || !Array.isArray(roles)) throw new errors.JWTInvalid("claims of another shape");
  return {
    kind: "person",
    userId: sub as PersonCaller["userId"],
    sessionId: sid as PersonCaller["sessionId"],
    organizationId: org as PersonCaller["organizationId"],
    roles: roles.map(String),
  };
}

function refusal(error: unknown): Problem {
  if (error instanceof Problem) return error;
  // Whether the token is good cannot be told without the keys: that is our trouble, not the caller's.
  const ours =
    !(error instanceof errors.JOSEError) ||
    error instanceof errors.JWKSTimeout ||
    error.code === "ERR_JOSE_GENERIC" ||
    error instanceof errors.JWKSInvalid;
  if (ours) return new Problem("unavailable", undefined, { cause: error, headers: { "retry-after": "2" } });
  return new Problem("unauthenticated", "The token is not valid here.", {
    cause: error,
    headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
  });
}
