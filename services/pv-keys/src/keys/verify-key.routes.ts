import { VerifyKeyAnswer, VerifyKeyRequest } from "@nexus/contracts/verify-key";
import { Problem } from "@nexus/core";
import { type Caller, callerOf, type Server } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { verifyKey } from "./verify-key.ts";

const url = "/v1/keys/verify";
const schema = {
  summary: "Whether a key is valid, and for what; an invalid key is an answer, not an error",
  tags: ["keys"],
  body: VerifyKeyRequest,
  response: { 200: VerifyKeyAnswer },
};

/** The same route on both listeners: outside for a service key with the scope, inside for the platform's own services. */
export function addVerifyRoutes({ published, internal }: Server, deps: Deps): void {
  published.route({
    method: "POST",
    url,
    config: { permission: "scope:keys:verify" },
    schema,
    handler: async (request) => {
      requireServiceKey(callerOf(request));
      return await verifyKey(deps.verifier.checker, request.body);
    },
  });
  internal.route({
    method: "POST",
    url,
    config: { permission: "service" },
    schema,
    handler: (request) => verifyKey(deps.verifier.checker, request.body),
  });
}

/** A scope lets people in as well; whether a stranger's key is good is nothing that a person's token tells. */
function requireServiceKey(caller: Caller): void {
  if (caller.kind === "key" && caller.keyKind === "svc") return;
  throw new Problem("forbidden", "Only a service key may do that.");
}
