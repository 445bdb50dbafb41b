import { AuditEventsPage, AuditEventsQuery } from "@nexus/contracts/audit";
import { type App, callerOf } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { listAuditEvents } from "./list-audit-events.ts";

export function auditRoutes(app: App, deps: Deps): void {
  app.route({
    method: "GET",
    url: "/api/audit/events",
    config: { permission: "admin|scope:audit:read" },
    schema: {
      summary: "The audit log, newest first; a key reads its organization's part",
      tags: ["audit"],
      querystring: AuditEventsQuery,
      response: { 200: AuditEventsPage },
    },
    handler: async (request, reply) => {
      reply.header("cache-control", "no-store");
      return await listAuditEvents(deps, { query: request.query, caller: callerOf(request) });
    },
  });
}
