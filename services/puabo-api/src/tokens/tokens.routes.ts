import * as contract from "@nexus/contracts/accounts";
import { Problem } from "@nexus/core";
import type { App } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { sessionOf } from "../sessions/authenticate.ts";
import type { SigningKeys } from "./ensure-signing-key.ts";
import { issueToken } from "./issue-token.ts";

/** Tokens for the other services, and the keys that they are verified with. */
export function tokenRoutes(app: App, deps: Deps, keys: SigningKeys): void {
  app.route({
    method: "GET",
    url: "/api/auth/token",
    config: { permission: "person" },
    schema: {
      summary: "A five-minute token for one other service",
      tags: ["accounts"],
      querystring: contract.TokenQuery,
      response: { 200: contract.TokenAnswer },
    },
    handler: async (request, reply) => {
      const session = await sessionOf(deps, request);
      if (!session) throw new Problem("unauthenticated");
      const needs = { clock: deps.clock, issuer: deps.publicUrl, key: keys.current };
      const { token, expiresAt } = await issueToken(needs, session, request.query.audience);
      reply.header("cache-control", "no-store");
      return { token, expires_at: expiresAt.toISOString() };
    },
  });

  app.route({
    method: "GET",
    url: "/api/auth/jwks",
    config: { permission: "public" },
    schema: { summary: "Public keys of the tokens (RFC 7517)", tags: ["accounts"], response: { 200: contract.JsonWebKeySet } },
    handler: async (_request, reply) => {
      reply.header("cache-control", "public, max-age=60");
      return { keys: keys.publicJwks };
    },
  });
}
