/** What is done to a key that is there. */
import { idempotencyHeaders } from "@nexus/contracts/common";
import { ChangedKey, RotatedKey } from "@nexus/contracts/key-receipts";
import * as contract from "@nexus/contracts/keys";
import { type Receipt, ReceiptQuery } from "@nexus/contracts/receipts";
import { type App, callerOf, type FastifyRequest, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { doOnce } from "../do-once.ts";
import type { ChangeInput } from "./change-key.ts";
import { confirmKeyChange } from "./confirm-key-change.ts";
import { managerOf } from "./key-manager.ts";
import { revokeKey } from "./revoke-key.ts";
import { rotateKey } from "./rotate-key.ts";
import { switchKey } from "./switch-key.ts";
import { updateKey } from "./update-key.ts";

const tags = ["keys"];
const config = { permission: "scope:keys:write" } as const;
const target = { params: contract.KeyParams, querystring: ReceiptQuery };
/** 202: changed, and some node may not know yet. */
const response = { 200: ChangedKey, 202: ChangedKey };

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
    handler: async (request, reply) => {
      const input = inputOf(request);
      const key = await updateKey(deps, { ...input, request: request.body });
      const receipt = await receiptFor(deps, input, { key, wait: request.query.wait });
      return reply.code(statusOf(receipt)).send({ key, ...receipt });
    },
  });
  app.route({
    method: "POST",
    url: "/v1/keys/:id/rotate",
    config,
    schema: {
      summary: "A new secret for the same key; older ones still work for the overlap",
      tags,
      ...target,
      headers: idempotencyHeaders,
      body: contract.RotateKeyRequest,
      response: { 200: RotatedKey, 202: RotatedKey },
    },
    handler: async (request, reply) => {
      const input = inputOf(request);
      const work = { ...input, request: request.body };
      const rotated = await doOnce(
        deps,
        { request, reply, holdsSecret: true },
        (within) => rotateKey(within, work),
        ({ key }) => [key.id],
      );
      const receipt = await receiptFor(deps, input, { key: rotated.key, wait: request.query.wait });
      return reply.code(statusOf(receipt)).send({ ...rotated, ...receipt });
    },
  });
  addEndingRoutes(app, deps);
}

/** Whether a key works at all. */
function addEndingRoutes(app: App, deps: Deps): void {
  const endings = [
    {
      verb: "disable",
      summary: "Refuse a key until it is enabled again",
      apply: (input: ChangeInput) => switchKey(deps, input, "disabled"),
    },
    { verb: "enable", summary: "Enable a disabled key", apply: (input: ChangeInput) => switchKey(deps, input, "active") },
    { verb: "revoke", summary: "End a key for ever", apply: (input: ChangeInput) => revokeKey(deps, input) },
  ] as const;
  for (const { verb, summary, apply } of endings) {
    app.route({
      method: "POST",
      url: `/v1/keys/:id/${verb}`,
      config,
      schema: { summary, tags, ...target, response },
      handler: async (request, reply) => {
        const input = inputOf(request);
        const key = await apply(input);
        const receipt = await receiptFor(deps, input, { key, wait: request.query.wait, revoked: verb === "revoke" });
        return reply.code(statusOf(receipt)).send({ key, ...receipt });
      },
    });
  }
}

interface Waiting {
  key: contract.Key;
  wait: "0" | "1" | undefined;
  revoked?: boolean;
}

async function receiptFor(
  deps: Deps,
  input: ChangeInput,
  { key, wait, revoked = false }: Waiting,
): Promise<{ receipt?: Receipt }> {
  if (wait !== "1") return {};
  return { receipt: await confirmKeyChange(deps, { ...input, keys: [key], revoked }) };
}

function statusOf({ receipt }: { receipt?: Receipt }): 200 | 202 {
  return receipt && !receipt.confirmed ? 202 : 200;
}

function inputOf(request: FastifyRequest) {
  const { id: keyId } = request.params as { id: string };
  return { manager: managerOf(callerOf(request)), keyId, context: requestContext(request) };
}
