import { KeyUsage, KeyUsageQuery } from "@nexus/contracts/key-usage";
import { KeyParams } from "@nexus/contracts/keys";
import { type App, callerOf } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { managerOf } from "../keys/key-manager.ts";
import { readKeyUsage } from "./read-key-usage.ts";

export function addKeyUsageRoute(app: App, deps: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/keys/:id/usage",
    config: { permission: "scope:keys:read" },
    schema: {
      summary: "How often a key was decided about, and how",
      tags: ["keys"],
      params: KeyParams,
      querystring: KeyUsageQuery,
      response: { 200: KeyUsage },
    },
    handler: async (request) => {
      const { tenant } = managerOf(callerOf(request));
      return await readKeyUsage(deps, { keyId: request.params.id, tenant, query: request.query });
    },
  });
}
