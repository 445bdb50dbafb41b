import { VerifyKeyAnswer, VerifyKeyRequest } from "@nexus/contracts/verify-key";
import type { Server } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { verifyKey } from "./verify-key.ts";

/** The same route on both listeners: outside for a service key with the scope, inside for the platform's own services. */
export function addVerifyRoutes(server: Server, deps: Deps): void {
  const doors = [
    [server.published, "scope:keys:verify"],
    [server.internal, "service"],
  ] as const;
  for (const [app, permission] of doors) {
    app.route({
      method: "POST",
      url: "/v1/keys/verify",
      config: { permission },
      schema: {
        summary: "Whether a key is valid, and for what; an invalid key is an answer, not an error",
        tags: ["keys"],
        body: VerifyKeyRequest,
        response: { 200: VerifyKeyAnswer },
      },
      handler: (request) => verifyKey(deps, request.body),
    });
  }
}
