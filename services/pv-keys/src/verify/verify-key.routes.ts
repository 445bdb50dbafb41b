import { VerifyKeyAnswer, VerifyKeyRequest, VerifyKeysAnswer, VerifyKeysRequest } from "@nexus/contracts/verify-key";
import { Problem } from "@nexus/core";
import { type App, callerOf, type FastifyRequest, type Server } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { fastVerify, fastVerifyBatch, serviceKeysMayAsk, servicesMayAsk, verifyBatchPath, verifyPath } from "./fast-verify.ts";
import { type VerifyDeps, verifyKey } from "./verify-key.ts";

const tags = ["keys"];

/** The same routes on both listeners: outside for a service key with the scope, inside for the platform's own services. */
export function addVerifyRoutes(server: Server, deps: Deps): void {
  const verify: VerifyDeps = { checker: deps.verifier.checker, limits: deps.limits };
  addOrdinaryRoutes(server.published, verify, { permission: "scope:keys:verify", admit: requireServiceKey });
  addOrdinaryRoutes(server.internal, verify, { permission: "service", admit: () => {} });
  for (const [listener, askers] of [
    ["published", serviceKeysMayAsk(verify.checker)],
    ["internal", servicesMayAsk(deps.serviceTokens)],
  ] as const) {
    server.addFastRoute(listener, fastVerify(verify, askers));
    server.addFastRoute(listener, fastVerifyBatch(verify, askers));
  }
}

interface Access {
  permission: "service" | `scope:${string}`;
  admit: (request: FastifyRequest) => void;
}

function addOrdinaryRoutes(app: App, verify: VerifyDeps, { permission, admit }: Access): void {
  app.route({
    method: "POST",
    url: verifyPath,
    config: { permission, quiet: true },
    schema: {
      summary: "Whether a key is valid, and for what; an invalid key is an answer, not an error",
      tags,
      body: VerifyKeyRequest,
      response: { 200: VerifyKeyAnswer },
    },
    handler: async (request) => {
      admit(request);
      return await verifyKey(verify, request.body, request.ip);
    },
  });
  app.route({
    method: "POST",
    url: verifyBatchPath,
    config: { permission, quiet: true },
    schema: {
      summary: "The same for up to 100 keys",
      tags,
      body: VerifyKeysRequest,
      response: { 200: VerifyKeysAnswer },
    },
    handler: async (request) => {
      admit(request);
      return { results: await Promise.all(request.body.requests.map((one) => verifyKey(verify, one, request.ip))) };
    },
  });
}

/** A scope lets people in as well; whether a stranger's key is good is nothing that a person's token tells. */
function requireServiceKey(request: FastifyRequest): void {
  const caller = callerOf(request);
  if (caller.kind === "key" && caller.keyKind === "svc") return;
  throw new Problem("forbidden", "Only a service key may do that.");
}
