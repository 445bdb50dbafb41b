import { assert } from "@nexus/core";
import { discoverLocalServers, type LocalServer } from "../embedded/discover-local-servers.ts";
import type { LocalModels } from "../local-model.ts";
import { compatible } from "../providers/provider-kind.ts";
import { type Credential, openUpstream, type Upstream } from "../proxy/open-upstream.ts";
import type { GatewaySettings, ModelSettings } from "../settings/gateway-settings.ts";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import type { RouteSettings } from "../settings/route-settings.ts";
import { embeddedModel, type Model, remoteModel } from "./catalogue.ts";
import type { Route } from "./route.ts";

interface OpenModelsOptions {
  settings: GatewaySettings;
  /** Of providers, by name. */
  credentials: ReadonlyMap<string, Credential>;
  embedded: LocalModels;
  /** Ask this machine's usual ports for model servers. */
  findsLocalServers: boolean;
}

/** Every model on offer: those of the configuration, then found ones, then the embedded ones. A name is taken once, by the first. */
export async function openModels(
  options: OpenModelsOptions,
): Promise<{ models: Model[]; routes: Route[]; upstreams: Upstream[]; close(): Promise<void> }> {
  const found = options.findsLocalServers ? await discoverLocalServers() : [];
  const upstreams = new Map<string, Upstream>();
  for (const provider of options.settings.providers) {
    upstreams.set(provider.name, openUpstream(provider, options.credentials.get(provider.name)));
  }
  for (const server of found) upstreams.set(foundName(server), openUpstream(foundProvider(server), undefined));
  const models: Model[] = [];
  for (const settings of [...options.settings.models, ...found.flatMap(foundModels)]) {
    const upstream = upstreams.get(settings.provider);
    if (upstream) models.push(remoteModel(settings, upstream));
  }
  models.push(...options.embedded.models.map(embeddedModel));
  const byId = new Map<string, Model>();
  for (const model of models) if (!byId.has(model.id)) byId.set(model.id, model);
  return {
    models: [...byId.values()],
    routes: options.settings.routes.map((route) => routeOf(route, byId)),
    upstreams: [...upstreams.values()],
    close: async () => {
      await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    },
  };
}

function routeOf({ id, strategy, targets }: RouteSettings, models: ReadonlyMap<string, Model>): Route {
  const found = targets.map(({ model: name, weight }) => {
    const model = models.get(name);
    assert(model, "targets are models of the configuration");
    return { model, weight };
  });
  return { id, strategy, targets: found };
}

function foundName(server: LocalServer): string {
  return `local:${server.name}`;
}

function foundProvider(server: LocalServer): ProviderSettings {
  return {
    name: foundName(server),
    baseUrl: server.baseUrl,
    secret: undefined,
    auth: { header: "authorization", prefix: "Bearer " },
    headers: {},
    allowsPrivateNetwork: true,
    // A model that must first be loaded from disk takes its time.
    deadlines: { connectMs: 2000, firstByteMs: 300_000, idleMs: 120_000, totalMs: 1_800_000 },
    maxConcurrent: 100,
    outputCapField: "max_tokens",
    takesStreamOptions: true,
    breaker: { failures: 5, openMs: 10_000 },
    wireFormats: compatible.wireFormats,
  };
}

/** Such a server does not tell what its models are for or how much they take; nothing is charged, so nothing rests on it. */
function foundModels(server: LocalServer): ModelSettings[] {
  return server.models.map((model) => ({
    id: `local/${model}`,
    provider: foundName(server),
    upstreamModel: model,
    kind: /embed|bge-|minilm/i.test(model) ? "embeddings" : "chat",
    contextTokens: 32_768,
    maxOutputTokens: 32_768,
    price: "free",
  }));
}
