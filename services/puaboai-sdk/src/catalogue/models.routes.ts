import { Model as ModelDocument, ModelList } from "@nexus/contracts/gateway";
import { assert } from "@nexus/core";
import { type App, callerOf } from "@nexus/http";
import { priceDocument } from "../settings/price-document.ts";
import { type Capabilities, nobodySays, sharedCapabilities } from "./capabilities.ts";
import { type Catalogue, mayUse, type Model } from "./catalogue.ts";
import { formatsOf, formatsOfAll } from "./client-formats.ts";
import { writesTokens } from "./model-kind.ts";
import type { Route } from "./route.ts";

interface ModelDeps {
  catalogue: Catalogue;
  /** Unix seconds since when the models are offered. */
  offeredSince: number;
}

const config = { permission: "scope:ai:models" } as const;
const tags = ["models"];

export function addModelRoutes(app: App, deps: ModelDeps): void {
  app.route({
    method: "GET",
    url: "/v1/models",
    config,
    schema: { summary: "The models that this caller may call", tags, response: { 200: ModelList } },
    handler: (request) => {
      const allowed = allowedOf(callerOf(request));
      const offered = [...deps.catalogue.all(), ...deps.catalogue.routes()].filter(({ id }) => mayUse(id, allowed));
      return { object: "list" as const, data: offered.map((one) => present(one, deps.offeredSince)) };
    },
  });
  app.route({
    method: "GET",
    // Names may hold slashes.
    url: "/v1/models/*",
    config,
    schema: { summary: "One model", tags, response: { 200: ModelDocument } },
    handler: (request) => {
      const { "*": id } = request.params as { "*": string };
      return present(deps.catalogue.find(id, allowedOf(callerOf(request))), deps.offeredSince);
    },
  });
}

function allowedOf(caller: ReturnType<typeof callerOf>): readonly string[] | null {
  return caller.kind === "key" ? caller.models : null;
}

function present(one: Model | Route, created: number): ModelDocument {
  return "targets" in one ? presentRoute(one, created) : presentModel(one, created);
}

/** What holds whichever of its targets answers. */
function presentRoute({ id, targets }: Route, created: number): ModelDocument {
  const all = targets.map(({ model }) => presentModel(model, created));
  const [first] = all;
  assert(first, "a route has targets");
  const outputs = all.flatMap(({ max_output_tokens: most }) => (most === null ? [] : [most]));
  return {
    ...first,
    id,
    owned_by: "nexus",
    context_tokens: Math.min(...all.map((model) => model.context_tokens)),
    max_output_tokens: outputs.length === 0 ? null : Math.min(...outputs),
    capabilities:
      first.kind === "chat"
        ? presentCapabilities(sharedCapabilities(targets.map(({ model }) => model.capabilities ?? nobodySays)))
        : null,
    formats: formatsOfAll(targets.map(({ model }) => model)),
    price: all.every(({ price }) => price === "free") ? "free" : "varies",
    description: null,
    targets: targets.map(({ model }) => model.id),
  };
}

function presentCapabilities({ tools, images, structuredOutput, reasoning }: Capabilities): ModelDocument["capabilities"] {
  return { tools, images_in: images, structured_output: structuredOutput, reasoning };
}

function presentModel(model: Model, created: number): ModelDocument {
  return {
    id: model.id,
    object: "model",
    created,
    owned_by: model.provider,
    kind: model.kind,
    context_tokens: model.contextTokens,
    max_output_tokens: writesTokens(model.kind) ? model.maxOutputTokens : null,
    capabilities: model.kind === "chat" ? presentCapabilities(model.capabilities ?? nobodySays) : null,
    formats: formatsOf(model),
    dimensions: model.dimensions ?? null,
    price: typeof model.price === "string" ? model.price : { currency: "USD", ...priceDocument(model.price) },
    demo: model.demo,
    description: model.description ?? null,
    targets: null,
  };
}
