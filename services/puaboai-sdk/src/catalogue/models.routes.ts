import { Model as ModelDocument, ModelList } from "@nexus/contracts/gateway";
import { type App, callerOf } from "@nexus/http";
import { priceDocument } from "../settings/price.ts";
import { type Catalogue, mayUse, type Model } from "./catalogue.ts";

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
      const data = deps.catalogue.all().filter((model) => mayUse(model.id, allowed));
      return { object: "list" as const, data: data.map((model) => present(model, deps.offeredSince)) };
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

function present(model: Model, created: number): ModelDocument {
  return {
    id: model.id,
    object: "model",
    created,
    owned_by: model.provider,
    kind: model.kind,
    context_tokens: model.contextTokens,
    max_output_tokens: model.kind === "chat" ? model.maxOutputTokens : null,
    dimensions: model.dimensions ?? null,
    price: model.price === "free" ? "free" : { currency: "USD", ...priceDocument(model.price) },
    demo: model.demo,
    description: model.description ?? null,
  };
}
