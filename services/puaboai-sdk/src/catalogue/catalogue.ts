/** The models of this installation by the names that clients call. */
import { Problem } from "@nexus/core";
import type { LocalChatModel, LocalEmbeddingModel, LocalModel, LocalModerationModel } from "../local-model.ts";
import type { Upstream } from "../proxy/open-upstream.ts";
import type { DatedPrice, ModelPrice } from "../settings/dated-prices.ts";
import type { ModelSettings } from "../settings/gateway-settings.ts";
import { type Capabilities, capabilitiesOf } from "./capabilities.ts";
import { type ModelKind, modelKinds } from "./model-kind.ts";
import { orderOf, type Route } from "./route.ts";

interface ModelFacts {
  id: string;
  kind: ModelKind;
  /** Who runs it: a provider's name, or `nexus`. */
  provider: string;
  upstreamModel: string;
  contextTokens: number;
  /** Input that the provider surely never takes more of; absent: nobody but the file says how long the context is. */
  longestInput?: number | undefined;
  /** 0 for embeddings. */
  maxOutputTokens: number;
  /** Longest sound, seconds, of one that listens and is billed by the minute. */
  maxSeconds?: number | undefined;
  /** Of a chat model; absent: nobody has said. */
  capabilities?: Capabilities | undefined;
  /** What holds now; see PriceBook. */
  price: ModelPrice;
  /** What the file says of later moments, in their order. */
  datedPrices?: readonly DatedPrice[] | undefined;
  /** A call that a budget does not cover whole may be made with a lower output cap. */
  clampsOutput?: boolean | undefined;
  /** This one is for such a call, and `maxOutputTokens` is its cap. */
  isClamped?: boolean;
  /** No real language model: answers say so. */
  demo: boolean;
  description: string | undefined;
  dimensions: number | undefined;
}

export interface RemoteModel extends ModelFacts {
  upstream: Upstream;
  local?: undefined;
}

export interface EmbeddedModel extends ModelFacts {
  upstream?: undefined;
  local: LocalModel;
}

export type Model = RemoteModel | EmbeddedModel;

export interface Catalogue {
  /** In the order of the configuration, embedded ones last. */
  all(): readonly Model[];
  /** Names that stand for several of them. */
  routes(): readonly Route[];
  /** @throws Problem `model_not_found`, also for a model that this caller may not use */
  find(id: string, allowed: readonly string[] | null): Model | Route;
  /**
   * The models that a call of this name tries, in this order; one where the name is a model's. Whoever may use a route may use
   * what it stands for.
   * @throws Problem `model_not_found`
   */
  targets(id: string, allowed: readonly string[] | null): readonly Model[];
  /** Whether what has this name, a model or a route, allows a lower output cap where a budget does not cover more. */
  clampsOutput(id: string): boolean;
}

export function openCatalogue(models: readonly Model[], routes: readonly Route[] = []): Catalogue {
  // Every model as the one target of its name, made once and not for each call.
  const single = new Map(models.map((model): [string, readonly [Model]] => [model.id, [model]]));
  const byId = new Map(routes.map((route) => [route.id, route]));
  return {
    all: () => models,
    routes: () => routes,
    find: (id, allowed) => (mayUse(id, allowed) && (single.get(id)?.[0] ?? byId.get(id))) || unknownModel(id),
    targets(id, allowed) {
      if (!mayUse(id, allowed)) return unknownModel(id);
      const model = single.get(id);
      if (model) return model;
      const route = byId.get(id);
      return route ? orderOf(route) : unknownModel(id);
    },
    clampsOutput: (id) => (single.get(id)?.[0] ?? byId.get(id))?.clampsOutput === true,
  };
}

/** What is in force at each question. */
export function followingCatalogue(current: () => Catalogue): Catalogue {
  return {
    all: () => current().all(),
    routes: () => current().routes(),
    find: (id, allowed) => current().find(id, allowed),
    targets: (id, allowed) => current().targets(id, allowed),
    clampsOutput: (id) => current().clampsOutput(id),
  };
}

/** The same answer for what is not there and what is not allowed, so that nobody learns which models others may call. */
function unknownModel(id: string): never {
  const detail = `There is no model ${shown(id)}, or this key may not use it. GET /v1/models lists those that it may use.`;
  throw new Problem("model_not_found", detail, {
    errors: [{ pointer: "/model", detail: "is no model that this key may use" }],
  });
}

/** What a caller wrote, as a part of one line: it may be of any length, and hold anything. */
function shown(id: string): string {
  const start = id
    .slice(0, 100)
    .toWellFormed()
    .replaceAll(/[\p{C}\p{Z}"]/gu, "_");
  return `"${start}${id.length > 100 ? "…" : ""}"`;
}

/** `null` allows every model. */
export function mayUse(id: string, allowed: readonly string[] | null): boolean {
  return allowed === null || allowed.includes(id);
}

export function embeddedModel(local: LocalModel): EmbeddedModel {
  return {
    id: local.id,
    kind: local.kind,
    provider: "nexus",
    upstreamModel: local.id,
    contextTokens: local.contextTokens,
    maxOutputTokens: local.kind === "chat" ? local.maximumOutputTokens : 0,
    capabilities: local.kind === "chat" ? capabilitiesOf([]) : undefined,
    price: "free",
    demo: local.demo,
    description: local.description,
    dimensions: local.kind === "embeddings" ? local.dimensions : undefined,
    local,
  };
}

export function remoteModel(settings: ModelSettings, upstream: Upstream): RemoteModel {
  const {
    id,
    kind,
    provider,
    upstreamModel,
    contextTokens,
    longestInput,
    maxOutputTokens,
    maxSeconds,
    capabilities,
    price,
    datedPrices,
    clampsOutput,
  } = settings;
  return {
    id,
    kind,
    provider,
    upstreamModel,
    contextTokens,
    longestInput,
    maxOutputTokens,
    maxSeconds,
    capabilities,
    price,
    datedPrices,
    clampsOutput,
    demo: false,
    description: undefined,
    dimensions: undefined,
    upstream,
  };
}

/** @throws Problem `invalid_request` when the model does something else */
export function requireKind(model: Model, kind: Model["kind"]): void {
  if (model.kind === kind) return;
  const does = modelKinds[model.kind];
  throw new Problem("invalid_request", `The model ${model.id} answers ${does}.`, {
    errors: [{ pointer: "/model", detail: `answers ${does} only` }],
  });
}

export function asChatModel(local: LocalModel): LocalChatModel {
  if (local.kind !== "chat") throw new TypeError("requireKind was not asked");
  return local;
}

export function asModerationModel(local: LocalModel): LocalModerationModel {
  if (local.kind !== "moderations") throw new TypeError("requireKind was not asked");
  return local;
}

export function asEmbeddingModel(local: LocalModel): LocalEmbeddingModel {
  if (local.kind !== "embeddings") throw new TypeError("requireKind was not asked");
  return local;
}
