import { idempotencyHeaders } from "@nexus/contracts/common";
import * as contract from "@nexus/contracts/secrets";
import { type App, personOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { doOnce } from "../do-once.ts";
import { keeperOf } from "./secret.ts";
import { overviewOf, startRewrap } from "./start-rewrap.ts";

const tags = ["secrets"];
const url = "/v1/secrets/rewrap";
const config = { permission: "admin" } as const;

export function addRewrapRoutes(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url,
    config,
    schema: {
      summary: "Wrap every data key with the current key-encryption key, in the background",
      tags,
      headers: idempotencyHeaders,
      response: { 202: contract.SecretRewrapAnswer },
    },
    handler: async (request, reply) => {
      const input = { keeper: keeperOf(personOf(request)), context: requestContext(request) };
      const rewrap = await doOnce(deps, { request, reply, holdsSecret: false }, (within) => startRewrap(within, input));
      return reply.code(202).send({ rewrap });
    },
  });
  app.route({
    method: "GET",
    url,
    config,
    schema: {
      summary: "How far rewrapping is, and how much hangs on each key-encryption key",
      tags,
      response: { 200: contract.SecretRewrapOverview },
    },
    handler: () => overviewOf(deps),
  });
}
