import * as contract from "@nexus/contracts/accounts";
import { type App, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { presentUser } from "../sessions/session.ts";
import { signIn } from "./sign-in.ts";
import { signUp } from "./sign-up.ts";

/** Sign-up and sign-in with a password. Whatever session the browser came with, it leaves with a new one. */
export function accountRoutes(app: App, deps: Deps): void {
  const cookieLifeSeconds = Math.floor(deps.sessionLifetime.absoluteMs / 1000);
  const cookieFor = (token: string, rememberMe: boolean | undefined): string =>
    deps.sessionCookie.set(token, rememberMe === false ? undefined : cookieLifeSeconds);

  app.route({
    method: "POST",
    url: "/api/auth/sign-up/email",
    config: { permission: "public" },
    schema: {
      summary: "Sign up with an e-mail address and a password",
      tags: ["accounts"],
      body: contract.SignUpRequest,
      response: { 200: contract.SignUpAnswer },
    },
    handler: async (request, reply) => {
      const { token, session } = await signUp(deps, request.body, requestContext(request));
      reply.header("set-cookie", cookieFor(token, request.body.rememberMe)).header("cache-control", "no-store");
      return { token: session.id, user: presentUser(session.user) };
    },
  });

  app.route({
    method: "POST",
    url: "/api/auth/sign-in/email",
    config: { permission: "public" },
    schema: {
      summary: "Sign in with an e-mail address and a password",
      tags: ["accounts"],
      body: contract.SignInRequest,
      response: { 200: contract.SignInAnswer },
    },
    handler: async (request, reply) => {
      const { token, session } = await signIn(deps, request.body, requestContext(request));
      reply.header("set-cookie", cookieFor(token, request.body.rememberMe)).header("cache-control", "no-store");
      const { callbackURL } = request.body;
      return {
        redirect: false as const,
        token: session.id,
        ...(callbackURL === undefined ? {} : { url: callbackURL }),
        user: presentUser(session.user),
      };
    },
  });
}
