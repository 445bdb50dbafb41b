import { idempotencyHeaders } from "@nexus/contracts/common";
import * as contract from "@nexus/contracts/key-formats";
import { type App, personOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { doOnce } from "../do-once.ts";
import { createKeyFormat, presentFormat } from "./create-key-format.ts";
import { listFormats } from "./key-formats.store.ts";
import { removeKeyFormat } from "./remove-key-format.ts";

const tags = ["key formats"];

export function addKeyFormatRoutes(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/v1/key-formats",
    config: { permission: "admin" },
    schema: {
      summary: "Register the shape of foreign keys, so that they can be imported by hash",
      tags,
      headers: idempotencyHeaders,
      body: contract.CreateKeyFormatRequest,
      response: { 201: contract.KeyFormatAnswer },
    },
    handler: async (request, reply) => {
      const input = { caller: personOf(request), request: request.body, context: requestContext(request) };
      const format = await doOnce(deps, { request, reply, holdsSecret: false }, (within) => createKeyFormat(within, input));
      return reply.code(201).send({ format });
    },
  });
  app.route({
    method: "GET",
    url: "/v1/key-formats",
    config: { permission: "scope:keys:read" },
    schema: { summary: "The shapes of foreign keys", tags, response: { 200: contract.KeyFormatList } },
    handler: async () => ({ data: (await listFormats(deps.db)).map(presentFormat) }),
  });
  app.route({
    method: "DELETE",
    url: "/v1/key-formats/:name",
    config: { permission: "admin" },
    schema: {
      summary: "Forget a shape that no key was imported with",
      tags,
      params: contract.KeyFormatParams,
      response: { 200: contract.KeyFormatAnswer },
    },
    handler: async (request) => {
      const { name } = request.params;
      return { format: await removeKeyFormat(deps, { caller: personOf(request), name, context: requestContext(request) }) };
    },
  });
}
