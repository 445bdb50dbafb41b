/** What is done to a key that is there. */
import { CreatedOrSharedKey } from "@nexus/contracts/key-shares";
import * as contract from "@nexus/contracts/keys";
import { type App, callerOf, type FastifyRequest, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { managerOf } from "./key-manager.ts";
import { revokeKey } from "./revoke-key.ts";
import { rotateKey } from "./rotate-key.ts";
import { switchKey } from "./switch-key.ts";
import { updateKey } from "./update-key.ts";

const tags = ["keys"];
const config = { permission: "scope:keys:write" } as const;
const target = { params: contract.KeyParams, querystring: contract.NoOptions };
const response = { 200: contract.KeyAnswer };

export function addKeyChangeRoutes(app: App, deps: Deps): void {
  app.route({
    method: "PATCH",
    url: "/v1/keys/:id",
    config,
    schema: {
      summary: "Change what a key carries (JSON Merge Patch)",
      tags,
      ...target,
      body: contract.UpdateKeyRequest,
      response,
    },
    handler: async (request) => ({ key: await updateKey(deps, { ...inputOf(request), request: request.body }) }),
  });
  app.route({
    method: "POST",
    url: "/v1/keys/:id/rotate",
    config,
    schema: {
      summary: "A new secret for the same key; older ones still work for the overlap",
      tags,
      ...target,
      body: contract.RotateKeyRequest,
      response: { 200: CreatedOrSharedKey },
    },
    handler: async (request) => await rotateKey(deps, { ...inputOf(request), request: request.body }),
  });
  app.route({
    method: "POST",
    url: "/v1/keys/:id/disable",
    config,
    schema: { summary: "Refuse a key until it is enabled again", tags, ...target, response },
    handler: async (request) => ({ key: await switchKey(deps, inputOf(request), "disabled") }),
  });
  app.route({
    method: "POST",
    url: "/v1/keys/:id/enable",
    config,
    schema: { summary: "Enable a disabled key", tags, ...target, response },
    handler: async (request) => ({ key: await switchKey(deps, inputOf(request), "active") }),
  });
  app.route({
    method: "POST",
    url: "/v1/keys/:id/revoke",
    config,
    schema: { summary: "End a key for ever", tags, ...target, response },
    handler: async (request) => ({ key: await revokeKey(deps, inputOf(request)) }),
  });
}

function inputOf(request: FastifyRequest) {
  const { id: keyId } = request.params as { id: string };
  return { manager: managerOf(callerOf(request)), keyId, context: requestContext(request) };
}
