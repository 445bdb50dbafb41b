import { assert } from "@nexus/core";
import type { LocalModels } from "../local-model.ts";
import type { LocalServer } from "../providers/discover-local-servers.ts";
import { compatible } from "../providers/provider-kind.ts";
import { type Credential, openUpstream, type Upstream } from "../proxy/open-upstream.ts";
import type { GatewaySettings, ModelSettings } from "../settings/gateway-settings.ts";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import type { RouteSettings } from "../settings/route-settings.ts";
import { type Catalogue, embeddedModel, type Model, openCatalogue, remoteModel } from "./catalogue.ts";
import type { Route } from "./route.ts";

/** The secret of a provider, and what changes when another is meant. */
export interface ProviderCredential {
  read: Credential;
  identity: string;
}

interface OfferOptions {
  settings: GatewaySettings;
  /** Of providers, by name. */
  credentials: ReadonlyMap<string, ProviderCredential>;
  embedded: LocalModels;
  /** Model servers of this machine. */
  found: readonly LocalServer[];
  /** Providers that are as they were keep their connections. */
  before?: Offer | undefined;
}

/** Everything that can be called, and the connections behind it. */
export interface Offer {
  catalogue: Catalogue;
  upstreams: ReadonlyMap<string, OfferedUpstream>;
}

interface OfferedUpstream {
  upstream: Upstream;
  /** All that its connections depend on. */
  identity: string;
  /** Absent: the provider wants none. */
  credential: Credential | undefined;
}

/** Every model on offer: those of the configuration, then found ones, then the embedded ones. A name is taken once, by the first. */
export function openOffer({ settings, credentials, embedded, found, before }: OfferOptions): Offer {
  const upstreams = new Map<string, OfferedUpstream>();
  const open = (provider: ProviderSettings, credential?: ProviderCredential): void => {
    const identity = JSON.stringify([provider, credential?.identity]);
    const known = before?.upstreams.get(provider.name);
    const upstream = known?.identity === identity ? known.upstream : openUpstream(provider, credential?.read);
    upstreams.set(provider.name, { upstream, identity, credential: credential?.read });
  };
  for (const provider of settings.providers) open(provider, credentials.get(provider.name));
  for (const server of found) open(foundProvider(server));
  const byId = new Map<string, Model>();
  const add = (model: Model): void => void (byId.has(model.id) || byId.set(model.id, model));
  for (const model of [...settings.models, ...found.flatMap(foundModels)]) {
    const offered = upstreams.get(model.provider);
    if (offered) add(remoteModel(model, offered.upstream));
  }
  embedded.models.map(embeddedModel).forEach(add);
  const routes = settings.routes.map((route) => routeOf(route, byId));
  return { catalogue: openCatalogue([...byId.values()], routes), upstreams };
}

function routeOf({ id, strategy, targets, clampsOutput }: RouteSettings, models: ReadonlyMap<string, Model>): Route {
  const found = targets.map(({ model: name, weight }) => {
    const model = models.get(name);
    assert(model, "targets are models of the configuration");
    return { model, weight };
  });
  return { id, strategy, targets: found, clampsOutput };
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
