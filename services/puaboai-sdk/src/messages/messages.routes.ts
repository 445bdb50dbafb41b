import { CountTokensRequest, MessagesRequest as RequestBody } from "@nexus/contracts/gateway";
import type { App, FastifyReply, FastifyRequest } from "@nexus/http";
import { boundUsage, countedInput } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, type OpenCall, withLedger } from "../calls/call-deps.ts";
import { forwardCall } from "../calls/forward-call.ts";
import { refusePaidExtras, refusePaidTools } from "../calls/paid-tools.ts";
import { toldCap } from "../calls/told-cap.ts";
import { tryTargets } from "../calls/try-targets.ts";
import { type RemoteModel, requireKind } from "../catalogue/catalogue.ts";
import { speakersOf, speaks } from "../catalogue/speakers-of.ts";
import { askable, translateCall } from "../translation/translate-call.ts";
import { noTokens } from "../usage/token-usage.ts";
import { passingRequestHeaders } from "../wire/passing-request-headers.ts";
import { type MessagesRequest, readMessagesRequest, upstreamMessagesBody } from "./messages-request.ts";
import { countTokensWire, messagesWire } from "./messages-wire.ts";

const config = { permission: "scope:ai:chat", rawBody: true } as const;
const tags = ["models"];

export function addMessagesRoutes(app: App, deps: CallDeps): void {
  const { bodyLimitBytes: bodyLimit } = deps;
  app.route({
    method: "POST",
    url: "/v1/messages",
    config,
    bodyLimit,
    schema: { summary: "Anthropic message, whole or streamed", tags, body: RequestBody },
    handler: async (request, reply) => {
      reply.raw.setHeader("request-id", request.requestId);
      await withLedger(deps, { request, reply, endpoint: "messages" }, async (call) => {
        const asked = readMessagesRequest(call.body);
        call.asked(asked.model, asked.stream);
        const targets = askable(deps.catalogue.targets(asked.model, allowedModels(call.caller)), messagesWire);
        await tryTargets(
          call,
          targets,
          async (model, mayFallBack) => {
            requireKind(model, "chat");
            refusePaidTools(asked.paidTools, model.price);
            refusePaidExtras(asked.paidExtras, model.price);
            const sized = { ...asked, bodyBytes: call.body.length };
            const bound = boundUsage(sized, model);
            const { upstreamModel, maxOutputTokens } = model;
            const id = `msg_${request.requestId.slice("req_".length)}`;
            const created = Math.floor(deps.clock.now() / 1000);
            const translated = translateCall(messagesWire, model, { ...asked, includeUsage: true, id, created });
            const body = upstreamMessagesBody(asked, { upstreamModel, mostTokens: maxOutputTokens });
            await call.ledger.begin(bound);
            await forwardCall({
              ...exchangeOf(call, { request, reply }),
              model,
              ...(translated ?? { wire: messagesWire, body }),
              toldCap: toldCap(asked.outputCap, model, true),
              stream: asked.stream,
              mayFallBack,
              countedInput: countedInput(sized, bound),
              logRefusal: deps.logRefusal,
            });
          },
          (model) => (speaks(model, messagesWire.name) ? asked.thinkingTokens : 0),
        );
      });
      return reply;
    },
  });
  addCountRoute(app, deps);
}

/** Free of charge at the provider, so it reserves nothing; it still is a call with a row of its own. */
function addCountRoute(app: App, deps: CallDeps): void {
  app.route({
    method: "POST",
    url: "/v1/messages/count_tokens",
    config,
    bodyLimit: deps.bodyLimitBytes,
    schema: { summary: "Count the tokens of an Anthropic message before sending it", tags, body: CountTokensRequest },
    handler: async (request, reply) => {
      reply.raw.setHeader("request-id", request.requestId);
      await withLedger(deps, { request, reply, endpoint: "messages.count_tokens" }, async (call) => {
        const asked = readMessagesRequest(call.body, { needsCap: false });
        await tryTargets(call, targetsOf(deps, call, asked), async (model, mayFallBack) => {
          const body = upstreamMessagesBody(asked, { upstreamModel: model.upstreamModel, mostTokens: Infinity });
          await call.ledger.begin(noTokens);
          const exchange = { ...exchangeOf(call, { request, reply }), model, wire: countTokensWire, mayFallBack };
          await forwardCall({ ...exchange, body, stream: false, countedInput: 0, logRefusal: deps.logRefusal });
        });
      });
      return reply;
    },
  });
}

function targetsOf(deps: CallDeps, call: OpenCall, asked: MessagesRequest): readonly RemoteModel[] {
  call.asked(asked.model, asked.stream);
  return speakersOf(deps.catalogue.targets(asked.model, allowedModels(call.caller)), messagesWire.name);
}

function exchangeOf({ ledger, running, hooks }: OpenCall, { request, reply }: { request: FastifyRequest; reply: FastifyReply }) {
  return { reply, ledger, running, hooks, headers: passingRequestHeaders(request, messagesWire) };
}
