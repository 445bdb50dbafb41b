import { WhoAmI } from "@nexus/contracts/verify-key";
import { Problem } from "@nexus/core";
import { type App, bearerOf } from "@nexus/http";
import type { Deps } from "../deps.ts";

/** Tells a key about itself, and nobody about any other. */
export function addWhoAmIRoute(app: App, { verifier }: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/keys/whoami",
    config: { permission: "key" },
    schema: { summary: "What the key that asks is, and what it may do", tags: ["keys"], response: { 200: WhoAmI } },
    handler: async (request) => {
      const { checker } = verifier;
      const token = bearerOf(request.headers.authorization) ?? "";
      // Whoever let the request in has counted this use already.
      const answer = checker.peek(token) ?? (await checker.check(token));
      if (!answer.valid) throw new Problem("unauthenticated");
      const { valid: _valid, ...facts } = answer;
      return facts;
    },
  });
}
