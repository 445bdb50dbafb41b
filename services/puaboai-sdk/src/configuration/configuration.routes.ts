import {
  ChangeHeaders,
  Configuration,
  EntryDocument,
  GatewayEntry,
  GatewayEntryPage,
  ProviderParams,
  ProviderTest,
  TestProviderRequest,
} from "@nexus/contracts/gateway-configuration";
import { Problem } from "@nexus/core";
import { type App, changedBy, type FastifyRequest } from "@nexus/http";
import { type ConfigurationDeps, recordReload, removeEntry, setEntry } from "./change-entries.ts";
import { listEntries } from "./entries.store.ts";
import type { EntryKind } from "./entry.ts";
import { errorsOf, presentConfiguration, presentEntries, presentEntry } from "./present-entry.ts";
import { testProvider } from "./test-provider.ts";

const config = { permission: "admin" } as const;
const tags = ["configuration"];

export function addConfigurationRoutes(app: App, deps: ConfigurationDeps): void {
  app.route({
    method: "GET",
    url: "/v1/admin/configuration",
    config,
    schema: { summary: "The configuration that this process has in force", tags, response: { 200: Configuration } },
    handler: () => presentConfiguration(deps.configuration),
  });
  app.route({
    method: "POST",
    url: "/v1/admin/reload",
    config,
    schema: { summary: "Read gateway.yaml again, in every process", tags, response: { 200: Configuration } },
    handler: async (request) => {
      await recordReload(deps, changedBy(request));
      const refused = await deps.configuration.reloadFile();
      if (refused) throw new Problem("configuration_refused", undefined, { errors: errorsOf(refused) });
      return presentConfiguration(deps.configuration);
    },
  });
  app.route({
    method: "POST",
    url: "/v1/admin/providers/:name/test",
    config,
    schema: {
      summary: "Make a smallest real call with the provider's key, and tell what is wrong",
      tags,
      params: ProviderParams,
      body: TestProviderRequest,
      response: { 200: ProviderTest },
    },
    handler: async (request) => await testProvider(deps, request.params.name, request.body, changedBy(request)),
  });
  addEntryRoutes(app, deps, "provider");
  addEntryRoutes(app, deps, "model");
  addEntryRoutes(app, deps, "route");
}

function addEntryRoutes(app: App, deps: ConfigurationDeps, kind: EntryKind): void {
  addReadingRoutes(app, deps, kind);
  addChangingRoutes(app, deps, kind);
}

function addReadingRoutes(app: App, deps: ConfigurationDeps, kind: EntryKind): void {
  app.route({
    method: "GET",
    url: listOf(kind),
    config,
    schema: {
      summary: `Every ${kind}: those of gateway.yaml, then those that were set by API, all on one page`,
      tags,
      response: { 200: GatewayEntryPage },
    },
    handler: async () => ({
      data: presentEntries(deps.configuration, kind, await listEntries(deps.db)),
      next_cursor: null,
      has_more: false,
    }),
  });
  app.route({
    method: "GET",
    url: oneOf(kind),
    config,
    schema: { summary: `One ${kind}`, tags, response: { 200: GatewayEntry } },
    handler: async (request, reply) => {
      const all = presentEntries(deps.configuration, kind, await listEntries(deps.db));
      const found = all.find(({ name }) => name === nameOf(request));
      if (!found) throw new Problem("not_found", `There is no ${kind} of this name.`);
      if (found.etag !== null) reply.header("etag", found.etag);
      return found;
    },
  });
}

function addChangingRoutes(app: App, deps: ConfigurationDeps, kind: EntryKind): void {
  app.route({
    method: "PUT",
    url: oneOf(kind),
    config,
    schema: {
      summary: `Set a ${kind} beside those of gateway.yaml`,
      tags,
      headers: ChangeHeaders,
      body: EntryDocument,
      response: { 200: GatewayEntry },
    },
    handler: async (request, reply) => {
      const entry = { kind, name: nameOf(request), document: request.body };
      const set = await setEntry(deps, entry, { precondition: preconditionOf(request), by: changedBy(request) });
      const presented = presentEntry(deps.configuration, set);
      return await reply.header("etag", presented.etag).send(presented);
    },
  });
  app.route({
    method: "DELETE",
    url: oneOf(kind),
    config,
    schema: { summary: `Take away a ${kind} that was set by API`, tags, headers: ChangeHeaders },
    handler: async (request, reply) => {
      const precondition = preconditionOf(request);
      await removeEntry(deps, { kind, name: nameOf(request) }, { precondition, by: changedBy(request) });
      return await reply.code(204).send();
    },
  });
}

function listOf(kind: EntryKind): string {
  return `/v1/admin/${kind}s`;
}

/** Names of models and routes may hold slashes. */
function oneOf(kind: EntryKind): string {
  return `${listOf(kind)}/*`;
}

/** @throws Problem `not_found` for what can be no name */
function nameOf(request: FastifyRequest): string {
  const { "*": name } = request.params as { "*": string };
  if (!/^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$/.test(name)) throw new Problem("not_found", "This can be no name.");
  return name;
}

function preconditionOf({ headers }: FastifyRequest) {
  return { ifMatch: headers["if-match"], ifNoneMatch: headers["if-none-match"] };
}
