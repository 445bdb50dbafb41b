import * as contract from "@nexus/contracts/accounts";
import { type App, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { sessionOf } from "./authenticate.ts";
import { endSession } from "./end-session.ts";
import { hashSessionToken } from "./session-token.ts";
import { presentSession, presentUser } from "./session.ts";

/** Sign-out, and who is signed in. Public: each looks at the cookie for itself, and nobody is an answer too. */
export function sessionRoutes(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/api/auth/sign-out",
    config: { permission: "public" },
    schema: { summary: "Sign out", tags: ["accounts"], body: contract.SignOutRequest, response: { 200: contract.SignOutAnswer } },
    handler: async (request, reply) => {
      const session = await sessionOf(deps, request);
      const tokenHash = hashSessionToken(deps.sessionCookie.read(request.headers.cookie) ?? "");
      if (session && tokenHash) {
        await endSession(deps, { session, tokenHash, context: { ...requestContext(request), session_id: session.id } });
      }
      reply.header("set-cookie", deps.sessionCookie.clear()).header("cache-control", "no-store");
      return { success: true as const };
    },
  });

  app.route({
    method: "GET",
    url: "/api/auth/get-session",
    config: { permission: "public" },
    schema: {
      summary: "Who is signed in",
      tags: ["accounts"],
      querystring: contract.GetSessionQuery,
      response: { 200: contract.GetSessionAnswer },
    },
    handler: async (request, reply) => {
      reply.header("cache-control", "no-store");
      const session = await sessionOf(deps, request);
      if (session) return { session: presentSession(session), user: presentUser(session.user) };
      if (deps.sessionCookie.read(request.headers.cookie) !== undefined) reply.header("set-cookie", deps.sessionCookie.clear());
      // As text: a bare null would be no body at all, and no JSON.
      return await reply
        .type("application/json; charset=utf-8")
        .serializer(String)
        .send("null" as never);
    },
  });
}
