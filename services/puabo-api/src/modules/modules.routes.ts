import { ModuleParams, ModuleStatus, PlatformStatus, SystemStatus } from "@nexus/contracts/modules";
import type { App } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { sessionOf } from "../sessions/authenticate.ts";
import type { ModuleStatusReader } from "./read-module-status.ts";

/** Public, so that a status page works while sign-in does not; why something failed is for administrators. */
export function moduleRoutes(app: App, deps: Deps, reader: ModuleStatusReader): void {
  const isAdmin = async (request: { headers: { cookie?: string | undefined } }): Promise<boolean> => {
    const session = await sessionOf(deps, request);
    return session?.user.role === "admin";
  };

  app.route({
    method: "GET",
    url: "/api/status",
    config: { permission: "public" },
    schema: { summary: "Status of every module", tags: ["modules"], response: { 200: PlatformStatus } },
    handler: async (request) => await reader.all(await isAdmin(request)),
  });

  app.route({
    method: "GET",
    url: "/api/system/status",
    config: { permission: "public" },
    schema: { summary: "The platform in one line", tags: ["modules"], response: { 200: SystemStatus } },
    handler: async () => await reader.line(),
  });

  app.route({
    method: "GET",
    url: "/api/:module/status",
    config: { permission: "public" },
    schema: { summary: "Status of one module", tags: ["modules"], params: ModuleParams, response: { 200: ModuleStatus } },
    handler: async (request) => await reader.one(request.params.module, await isAdmin(request)),
  });
}
