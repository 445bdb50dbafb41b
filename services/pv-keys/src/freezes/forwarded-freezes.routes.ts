/** The kill switch for the platform's own services, which have checked that an administrator asks. */
import * as contract from "@nexus/contracts/freezes";
import { type App, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { confirmFreeze } from "./confirm-freeze.ts";
import { freeze } from "./freeze.ts";
import { forwardedFreezer } from "./freezer.ts";
import { presentFreeze } from "./present-freeze.ts";
import { thaw } from "./thaw.ts";

const tags = ["kill switch"];
const config = { permission: "service" } as const;
const response = { 200: contract.FreezeAnswer, 202: contract.FreezeAnswer };

export function addForwardedFreezeRoutes(internal: App, deps: Deps): void {
  internal.route({
    method: "POST",
    url: "/v1/freeze",
    config,
    schema: { summary: "Freeze for an administrator", tags, body: contract.ForwardedFreezeRequest, response },
    handler: async (request, reply) => {
      const { by, ...asked } = request.body;
      const input = { freezer: forwardedFreezer(by), context: requestContext(request) };
      const { row, isNew } = await freeze(deps, { ...input, request: asked });
      const answer = await confirmFreeze(deps, { freeze: presentFreeze(row), isNew }, input);
      return reply.code(answer.receipt.confirmed ? 200 : 202).send(answer);
    },
  });
  internal.route({
    method: "POST",
    url: "/v1/thaw",
    config,
    schema: { summary: "Thaw for an administrator", tags, body: contract.ForwardedThawRequest, response },
    handler: async (request, reply) => {
      const { by, id } = request.body;
      const input = { freezer: forwardedFreezer(by), context: requestContext(request) };
      const { row, isNew } = await thaw(deps, { ...input, id });
      const answer = await confirmFreeze(deps, { freeze: presentFreeze(row), isNew }, input);
      return reply.code(answer.receipt.confirmed ? 200 : 202).send(answer);
    },
  });
}
