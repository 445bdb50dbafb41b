import * as contract from "@nexus/contracts/accounts";
import { Problem } from "@nexus/core";
import { type App, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { presentUser } from "../sessions/session.ts";
import { completeSetup, requireOpenSetup } from "./complete-setup.ts";
import { nameField, setupFault } from "./setup-fault.ts";
import { setupDonePage, setupForm } from "./setup-page.ts";

const formType = "application/x-www-form-urlencoded";

/** The door of the first run. Without a code that opens it there is nothing here: 404. */
export function setupRoutes(app: App, deps: Deps): void {
  app.addContentTypeParser(formType, { parseAs: "string", bodyLimit: 8192 }, (request, body, done) => {
    // Only here: elsewhere a form of another site would be a request without a preflight.
    if (request.routeOptions.url === "/setup") done(null, Object.fromEntries(new URLSearchParams(String(body))));
    else done(new Problem("unsupported_media_type", "Send the body as application/json."));
  });

  app.route({
    method: "GET",
    url: "/setup",
    config: { permission: "public" },
    schema: { summary: "Form of the one-time set-up link", tags: ["setup"], querystring: contract.SetupQuery },
    handler: async (request, reply) => {
      const { code } = request.query;
      if (code === undefined) throw new Problem("not_found");
      await requireOpenSetup(deps, code);
      const page = setupForm({ code, passwordMinLength: deps.passwordMinLength });
      return await reply.headers(page.headers).send(page.html);
    },
  });

  app.route({
    method: "POST",
    url: "/setup",
    config: { permission: "public" },
    // The handler looks at it, as a person at a form needs the page again.
    attachValidation: true,
    schema: {
      summary: "Make the first administrator with the code of the link, and sign in",
      tags: ["setup"],
      body: contract.SetupRequest,
      response: { 201: contract.SetupAnswer, "4xx": contract.SetupPage },
    },
    handler: async (request, reply) => {
      const isForm = request.headers["content-type"]?.startsWith(formType) === true;
      try {
        if (request.validationError) throw request.validationError;
        const { token, session } = await completeSetup(deps, request.body, requestContext(request));
        const lifeSeconds = Math.floor(deps.sessionLifetime.absoluteMs / 1000);
        reply.code(201).header("set-cookie", deps.sessionCookie.set(token, lifeSeconds)).header("cache-control", "no-store");
        if (!isForm) return { token: session.id, user: presentUser(session.user) };
        const page = setupDonePage(session.user.email);
        return await reply.headers(page.headers).serializer(String).send(page.html);
      } catch (error) {
        const fault = setupFault(error, deps.passwordMinLength);
        if (!isForm || !(fault instanceof Problem) || fault.code === "not_found" || fault.status >= 500) throw fault;
        const { code, email, name } = request.body as Partial<contract.SetupRequest>;
        if (code === undefined) throw fault;
        await requireOpenSetup(deps, code);
        const page = setupForm({ code, email, name, message: nameField(fault), passwordMinLength: deps.passwordMinLength });
        return await reply
          .code(fault.status as 422)
          .headers(page.headers)
          .serializer(String)
          .send(page.html);
      }
    },
  });
}
