import { EmbeddingRequest as RequestBody } from "@nexus/contracts/gateway";
import { assert } from "@nexus/core";
import type { App } from "@nexus/http";
import { boundUsage, countedInput } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, withLedger } from "../calls/call-deps.ts";
import { forwardCall } from "../calls/forward-call.ts";
import { tryTargets } from "../calls/try-targets.ts";
import { asEmbeddingModel, requireKind } from "../catalogue/catalogue.ts";
import { speakersOf } from "../catalogue/speakers-of.ts";
import { embedLocally } from "./embed-locally.ts";
import { readEmbeddingRequest, refuseMedia, upstreamEmbeddingBody } from "./embedding-request.ts";
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
      await withLedger(deps, { request, reply, endpoint: "embeddings" }, async (call) => {
        const { body, running, hooks } = call;
        const asked = readEmbeddingRequest(body);
        call.asked(asked.model, false);
        const targets = deps.catalogue.targets(asked.model, allowedModels(call.caller));
        await tryTargets(call, targets, async (model, mayFallBack) => {
          const { ledger } = call;
          requireKind(model, "embeddings");
          refuseMedia(asked, model.price);
          const exchange = { reply, ledger, running, hooks };
          const sized = { bodyBytes: body.length, hasMedia: false, outputCap: undefined, choices: 1 };
          // Each of a list of inputs may fill the context: only the bytes bound them all.
          const bound = boundUsage(sized, { contextTokens: Infinity, maxOutputTokens: 0 });
          if (!model.upstream) {
            const local = readLocalEmbedding(asked, asEmbeddingModel(model.local));
            await ledger.begin(bound);
            return await embedLocally({ ...exchange, model, asked: local });
          }
          const [remote] = speakersOf([model], embeddingsWire.name);
          assert(remote, "there is one, or it was refused");
          const upstreamBody = upstreamEmbeddingBody(asked, model.upstreamModel);
          await ledger.begin(bound);
          await forwardCall({
            ...exchange,
            model: remote,
            wire: embeddingsWire,
            body: upstreamBody,
            stream: false,
            mayFallBack,
            countedInput: countedInput(sized, bound),
            logRefusal: deps.logRefusal,
          });
        });
      });
      return reply;
    },
  });
}
