/** Many keys at once. */
import * as contract from "@nexus/contracts/bulk-keys";
import { idempotencyHeaders } from "@nexus/contracts/common";
import { ConfirmedBulkRevoked } from "@nexus/contracts/key-receipts";
import { ReceiptQuery } from "@nexus/contracts/receipts";
import { type App, callerOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { doOnce } from "../do-once.ts";
import { bulkCreateKeys } from "./bulk-create-keys.ts";
import { bulkRevokeKeys } from "./bulk-revoke-keys.ts";
import { confirmKeyChange } from "./confirm-key-change.ts";
import { importKeys } from "./import-keys.ts";
import { managerOf } from "./key-manager.ts";

const tags = ["keys"];
const config = { permission: "scope:keys:write" } as const;
/** Bytes: a hundred keys with all the metadata that they may have, or a thousand with a little. */
const bodyLimit = 4 * 1024 * 1024;

function idsOf({ data }: contract.BulkCreated): string[] {
  return data.map(({ key }) => key.id);
}

export function addBulkKeyRoutes(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/v1/keys/bulk-create",
    config,
    bodyLimit,
    schema: {
      summary: "Make up to 100 keys, all or none",
      tags,
      headers: idempotencyHeaders,
      body: contract.BulkCreateRequest,
      response: { 201: contract.BulkCreated },
    },
    handler: async (request, reply) => {
      const input = { manager: managerOf(callerOf(request)), request: request.body, context: requestContext(request) };
      const create = (within: Deps) => bulkCreateKeys(within, input);
      const made = await doOnce(deps, { request, reply, holdsSecret: true }, create, idsOf);
      return reply.code(201).send(made);
    },
  });
  app.route({
    method: "POST",
    url: "/v1/keys/bulk-revoke",
    config,
    schema: {
      summary: "End up to 1,000 keys for ever, by id or by filter, all or none",
      tags,
      querystring: ReceiptQuery,
      body: contract.BulkRevokeRequest,
      response: { 200: ConfirmedBulkRevoked, 202: ConfirmedBulkRevoked },
    },
    handler: async (request, reply) => {
      const input = { manager: managerOf(callerOf(request)), request: request.body, context: requestContext(request) };
      const answer = await bulkRevokeKeys(deps, input);
      if (request.query.wait !== "1" || answer.revoked.length === 0) return answer;
      const receipt = await confirmKeyChange(deps, { ...input, keys: answer.revoked, revoked: true });
      return reply.code(receipt.confirmed ? 200 : 202).send({ ...answer, receipt });
    },
  });
  app.route({
    method: "POST",
    url: "/v1/keys/import",
    config,
    bodyLimit,
    schema: {
      summary: "Take over up to 1,000 foreign keys by their SHA-256, all or none",
      tags,
      headers: idempotencyHeaders,
      body: contract.ImportKeysRequest,
      response: { 201: contract.ImportedKeys },
    },
    handler: async (request, reply) => {
      const input = { manager: managerOf(callerOf(request)), request: request.body, context: requestContext(request) };
      const made = await doOnce(deps, { request, reply, holdsSecret: false }, (within) => importKeys(within, input));
      return reply.code(201).send(made);
    },
  });
}
