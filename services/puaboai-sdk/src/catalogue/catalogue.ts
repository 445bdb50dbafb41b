/** The models of this installation by the names that clients call. */
import { Problem } from "@nexus/core";
import type { LocalChatModel, LocalEmbeddingModel, LocalModel } from "../local-model.ts";
import type { Upstream } from "../proxy/open-upstream.ts";
import type { ModelSettings } from "../settings/gateway-settings.ts";
import type { Price } from "../settings/price.ts";

interface ModelFacts {
  id: string;
  kind: "chat" | "embeddings";
  /** Who runs it: a provider's name, or `nexus`. */
  provider: string;
  upstreamModel: string;
  contextTokens: number;
  /** 0 for embeddings. */
  maxOutputTokens: number;
  price: Price | "free";
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
  /** @throws Problem `model_not_found`, also for a model that this caller may not use */
  find(id: string, allowed: readonly string[] | null): Model;
}

export function openCatalogue(models: readonly Model[]): Catalogue {
  const byId = new Map(models.map((model) => [model.id, model]));
  return {
    all: () => models,
    find(id, allowed) {
      const model = byId.get(id);
      // The same answer for both, so that nobody learns which models others may call.
      if (!model || !mayUse(id, allowed)) {
        throw new Problem("model_not_found", "There is no such model, or this key may not use it.", {
          errors: [{ pointer: "/model", detail: "is no model that this key may use" }],
        });
      }
      return model;
    },
  };
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
    price: "free",
    demo: local.demo,
    description: local.description,
    dimensions: local.kind === "embeddings" ? local.dimensions : undefined,
    local,
  };
}

export function remoteModel(settings: ModelSettings, upstream: Upstream): RemoteModel {
  const { id, kind, provider, upstreamModel, contextTokens, maxOutputTokens, price } = settings;
  return {
    id,
    kind,
    provider,
    upstreamModel,
    contextTokens,
    maxOutputTokens,
    price,
    demo: false,
    description: undefined,
    dimensions: undefined,
    upstream,
  };
}

/** @throws Problem `invalid_request` when the model does something else */
export function requireKind(model: Model, kind: Model["kind"]): void {
  if (model.kind === kind) return;
  const does = model.kind === "chat" ? "chat completions" : "embeddings";
  throw new Problem("invalid_request", `The model ${model.id} answers ${does}.`, {
    errors: [{ pointer: "/model", detail: `answers ${does} only` }],
  });
}

export function asChatModel(local: LocalModel): LocalChatModel {
  if (local.kind !== "chat") throw new TypeError("requireKind was not asked");
  return local;
}

export function asEmbeddingModel(local: LocalModel): LocalEmbeddingModel {
  if (local.kind !== "embeddings") throw new TypeError("requireKind was not asked");
  return local;
}
