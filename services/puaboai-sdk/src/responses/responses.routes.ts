import { ResponsesRequest as RequestBody } from "@nexus/contracts/gateway";
import type { App } from "@nexus/http";
import { boundUsage, countedInput } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, withLedger } from "../calls/call-deps.ts";
import { forwardCall } from "../calls/forward-call.ts";
import { refusePaidExtras, refusePaidTools } from "../calls/paid-tools.ts";
import { toldCap } from "../calls/told-cap.ts";
import { tryTargets } from "../calls/try-targets.ts";
import { requireKind } from "../catalogue/catalogue.ts";
import { askable, translateCall } from "../translation/translate-call.ts";
import { readResponsesRequest, upstreamResponsesBody } from "./responses-request.ts";
import { responsesWire } from "./responses-wire.ts";

export function addResponsesRoutes(app: App, deps: CallDeps): void {
  app.route({
    method: "POST",
    url: "/v1/responses",
    config: { permission: "scope:ai:chat", rawBody: true },
    bodyLimit: deps.bodyLimitBytes,
    schema: { summary: "OpenAI response, whole or streamed", tags: ["models"], body: RequestBody },
    handler: async (request, reply) => {
      await withLedger(deps, { request, reply, endpoint: "responses" }, async (call) => {
        const asked = readResponsesRequest(call.body);
        call.asked(asked.model, asked.stream);
        const targets = askable(deps.catalogue.targets(asked.model, allowedModels(call.caller)), responsesWire);
        await tryTargets(call, targets, async (model, mayFallBack) => {
          const { ledger, running, hooks } = call;
          requireKind(model, "chat");
          refusePaidTools(asked.paidTools, model.price);
          refusePaidExtras(asked.paidExtras, model.price);
          const sized = { ...asked, bodyBytes: call.body.length };
          const bound = boundUsage(sized, model);
          // What is set aside for a call must be the most that it can cost: a priced call always carries a cap.
          const mostTokens = model.price === "free" ? Infinity : model.maxOutputTokens;
          const body = upstreamResponsesBody(asked, { upstreamModel: model.upstreamModel, mostTokens });
          const id = `resp_${request.requestId.slice("req_".length)}`;
          const created = Math.floor(deps.clock.now() / 1000);
          const translated = translateCall(responsesWire, model, { ...asked, includeUsage: true, id, created });
          await ledger.begin(bound);
          await forwardCall({
            reply,
            ledger,
            running,
            hooks,
            model,
            ...(translated ?? { wire: responsesWire, body }),
            toldCap: toldCap(asked.outputCap, model, translated !== undefined),
            stream: asked.stream,
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
