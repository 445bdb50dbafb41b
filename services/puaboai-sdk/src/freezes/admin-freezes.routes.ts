/** The kill switch at the gateway's door. pv-keys holds it; here an administrator is recognised, and the request handed on. */
import type { ProblemDocument } from "@nexus/contracts/common";
import * as contract from "@nexus/contracts/freezes";
import { Problem, problemCatalogue, type ProblemCode } from "@nexus/core";
import { type App, type FastifyRequest, personOf, type ServiceClient } from "@nexus/http";

const tags = ["kill switch"];
const config = { permission: "admin" } as const;
const response = { 200: contract.FreezeAnswer, 202: contract.FreezeAnswer };

export function addAdminFreezeRoutes(app: App, { pvKeys }: { pvKeys: ServiceClient }): void {
  app.route({
    method: "POST",
    url: "/v1/admin/freeze",
    config,
    schema: { summary: "Refuse something everywhere until it is thawed", tags, body: contract.FreezeRequest, response },
    handler: async (request, reply) => {
      const { status, answer } = await handOn(pvKeys, "/v1/freeze", request);
      return reply.code(status).send(answer);
    },
  });
  app.route({
    method: "POST",
    url: "/v1/admin/thaw",
    config,
    schema: { summary: "End a freeze", tags, body: contract.ThawRequest, response },
    handler: async (request, reply) => {
      const { status, answer } = await handOn(pvKeys, "/v1/thaw", request);
      return reply.code(status).send(answer);
    },
  });
}

/** @throws Problem what pv-keys refused it with, or `unavailable` when it does not answer */
async function handOn(pvKeys: ServiceClient, path: string, request: FastifyRequest) {
  const { userId, organizationId } = personOf(request);
  const by = { user_id: userId, organization_id: organizationId };
  const body = { ...(request.body as object), by };
  const { status, body: said } = await pvKeys.call({ method: "POST", path, body, requestId: request.requestId });
  if (status === 200 || status === 202) return { status, answer: said as contract.FreezeAnswer } as const;
  throw refusalOf(said);
}

function refusalOf(said: unknown): Problem {
  const { code, detail, errors } = (said ?? {}) as Partial<ProblemDocument>;
  // Anything but a refusal of what the administrator asked is between the two services.
  if (code === undefined || !isRefusal(code))
    return new Problem("unavailable", undefined, { cause: new Error(`pv-keys: ${code}`) });
  return new Problem(code, detail, errors && { errors });
}

function isRefusal(code: string): code is ProblemCode {
  return Object.hasOwn(problemCatalogue, code) && ["invalid_request", "not_found", "conflict", "forbidden"].includes(code);
}
