import { EmbeddingRequest as RequestBody } from "@nexus/contracts/gateway";
import type { App } from "@nexus/http";
import { boundUsage, countedInput } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, routed, withLedger } from "../calls/call-deps.ts";
import { forwardCall } from "../calls/forward-call.ts";
import { asEmbeddingModel, requireKind } from "../catalogue/catalogue.ts";
import { requireWireFormat } from "../wire/require-wire-format.ts";
import { embedLocally } from "./embed-locally.ts";
import { readEmbeddingRequest, upstreamEmbeddingBody } from "./embedding-request.ts";
import { embeddingsWire } from "./embeddings-wire.ts";
import { readLocalEmbedding } from "./local-embedding-request.ts";

export function addEmbeddingRoutes(app: App, deps: CallDeps): void {
  app.route({
    method: "POST",
    url: "/v1/embeddings",
    config: { permission: "scope:ai:embeddings", rawBody: true },
    bodyLimit: deps.bodyLimitBytes,
    schema: { summary: "OpenAI embeddings", tags: ["models"], body: RequestBody },
    handler: async (request, reply) => {
      await withLedger(deps, { request, reply, endpoint: "embeddings" }, async ({ ledger, running, caller, body }) => {
        const asked = readEmbeddingRequest(body);
        ledger.asked(asked.model, false);
        const model = deps.catalogue.find(asked.model, allowedModels(caller));
        routed({ ledger, running }, model);
        requireKind(model, "embeddings");
        const exchange = { reply, ledger, running };
        const sized = { bodyBytes: body.length, hasMedia: false, outputCap: undefined, choices: 1 };
        // Each of a list of inputs may fill the context: only the bytes bound them all.
        const bound = boundUsage(sized, { contextTokens: Infinity, maxOutputTokens: 0 });
        if (!model.upstream) {
          const local = readLocalEmbedding(asked, asEmbeddingModel(model.local));
          await ledger.begin(bound);
          return await embedLocally({ ...exchange, model, asked: local });
        }
        const remote = requireWireFormat(model, embeddingsWire.name);
        const upstreamBody = upstreamEmbeddingBody(asked, model.upstreamModel);
        await ledger.begin(bound);
        await forwardCall({
          ...exchange,
          model: remote,
          wire: embeddingsWire,
          body: upstreamBody,
          stream: false,
          countedInput: countedInput(sized, bound),
          logRefusal: deps.logRefusal,
        });
      });
      return reply;
    },
  });
}
