import { ContentLogParams, ContentLogSettings, RequestContent, SetContentLogRequest } from "@nexus/contracts/contents";
import { RequestParams } from "@nexus/contracts/requests";
import { Problem, toId, uuidOf } from "@nexus/core";
import { type App, changedBy } from "@nexus/http";
import { type ContentLogDeps, defaults, eraseContents, setContentLog } from "./change-content-log.ts";
import { findSettings, type StoredSettings } from "./content-log-settings.store.ts";
import { readContent } from "./read-content.ts";

const config = { permission: "admin" } as const;
const tags = ["content log"];
const url = "/v1/admin/content-log/:organization_id";
const params = ContentLogParams;

export function addContentLogRoutes(app: App, deps: ContentLogDeps): void {
  addSettingRoutes(app, deps);
  app.route({
    method: "GET",
    url: "/v1/requests/:id/content",
    config,
    schema: {
      summary: "What a request asked and was answered, where that is kept; each reading is in the audit log",
      tags,
      params: RequestParams,
      response: { 200: RequestContent },
    },
    handler: async (request) => {
      const requestId = uuidOf("request", request.params.id);
      if (requestId === undefined) throw new Problem("not_found", "Nothing is kept of such a request.");
      return await readContent(deps, requestId, changedBy(request));
    },
  });
}

function addSettingRoutes(app: App, deps: ContentLogDeps): void {
  app.route({
    method: "GET",
    url,
    config,
    schema: {
      summary: "Whether prompts and answers of an organization are kept, and for how long",
      tags,
      params,
      response: { 200: ContentLogSettings },
    },
    handler: async (request) => {
      const organizationId = organizationOf(request.params);
      return presentSettings(organizationId, await findSettings(deps.db, organizationId));
    },
  });
  app.route({
    method: "PUT",
    url,
    config,
    schema: {
      summary: "Switch the keeping of an organization's prompts and answers on or off",
      tags,
      params,
      body: SetContentLogRequest,
      response: { 200: ContentLogSettings },
    },
    handler: async (request) => {
      const organizationId = organizationOf(request.params);
      const { enabled, retention_days: retentionDays, max_bytes: maxBytes } = request.body;
      const row = await setContentLog(deps, { organizationId, enabled, retentionDays, maxBytes }, changedBy(request));
      return presentSettings(organizationId, row);
    },
  });
  app.route({
    method: "DELETE",
    url,
    config,
    schema: { summary: "Erase the prompts and answers that are kept of an organization", tags, params },
    handler: async (request, reply) => {
      await eraseContents(deps, organizationOf(request.params), changedBy(request));
      return await reply.code(204).send();
    },
  });
}

function organizationOf({ organization_id: id }: ContentLogParams): string {
  const organizationId = uuidOf("organization", id);
  if (organizationId === undefined) throw new Problem("not_found", "There is no such organization.");
  return organizationId;
}

/** Without a row it was never switched on. */
function presentSettings(organizationId: string, row: StoredSettings | undefined): ContentLogSettings {
  return {
    organization_id: toId("organization", organizationId),
    enabled: row?.enabled ?? false,
    retention_days: row?.retention_days ?? defaults.retentionDays,
    max_bytes: row?.max_bytes ?? defaults.maxBytes,
    updated_at: row?.updated_at.toISOString() ?? null,
    updated_by: row ? toId("user", row.updated_by) : null,
  };
}
