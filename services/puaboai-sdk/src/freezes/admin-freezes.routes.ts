/** The kill switch at the gateway's door. pv-keys holds it; here an administrator is recognised, and the request handed on. */
import type { ProblemDocument } from "@nexus/contracts/common";
import * as contract from "@nexus/contracts/freezes";
import { Problem, problemCatalogue, type ProblemCode } from "@nexus/core";
import { type App, type FastifyRequest, personOf, type ServiceClient } from "@nexus/http";
import { requireModel, requireProvider } from "../catalogue/require-name.ts";
import type { Generation, LiveConfiguration } from "../configuration/live-configuration.ts";

const tags = ["kill switch"];
const config = { permission: "admin" } as const;
const response = { 200: contract.FreezeAnswer, 202: contract.FreezeAnswer };

interface AdminFreezeDeps {
  pvKeys: ServiceClient;
  configuration: Pick<LiveConfiguration, "current">;
}

export function addAdminFreezeRoutes(app: App, { pvKeys, configuration }: AdminFreezeDeps): void {
  app.route({
    method: "POST",
    url: "/v1/admin/freeze",
    config,
    schema: { summary: "Refuse something everywhere until it is thawed", tags, body: contract.FreezeRequest, response },
    handler: async (request, reply) => {
      requireTarget(configuration.current, request.body);
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

/** Whoever misspells a model in an emergency must not be told that it is frozen. @throws Problem `invalid_request` */
function requireTarget({ offer }: Generation, { kind, target }: contract.FreezeRequest): void {
  if (target === undefined) return;
  const written = { pointer: "/target", name: target };
  if (kind === "model") requireModel(offer.catalogue, written);
  if (kind === "provider") requireProvider(providersOf(offer), written);
}

/** Those of the configuration, and the one that answers by itself. */
function providersOf({ upstreams, catalogue }: Generation["offer"]): Set<string> {
  return new Set([...upstreams.keys(), ...catalogue.all().map(({ provider }) => provider)]);
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
