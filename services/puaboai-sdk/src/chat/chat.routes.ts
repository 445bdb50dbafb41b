import { ChatCompletionRequest as RequestBody } from "@nexus/contracts/gateway";
import type { App } from "@nexus/http";
import { boundUsage, countedInput } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, type OpenCall, withLedger } from "../calls/call-deps.ts";
import type { Exchange } from "../calls/exchange.ts";
import { forwardCall } from "../calls/forward-call.ts";
import type { ForwardedCall } from "../calls/forwarded-call.ts";
import { isPaidTool, paidToolsIn, refusePaidExtras, refusePaidTools } from "../calls/paid-tools.ts";
import { toldCap } from "../calls/told-cap.ts";
import { tryTargets } from "../calls/try-targets.ts";
import { type Model, type RemoteModel, requireKind } from "../catalogue/catalogue.ts";
import { askable, translateCall } from "../translation/translate-call.ts";
import { answerLocally } from "./answer-locally.ts";
import { chatIdOf } from "./chat-id.ts";
import { type ChatRequest, readChatRequest, upstreamChatBody } from "./chat-request.ts";
import { chatWire, chatWireWithOurUsage } from "./chat-wire.ts";
import { readLocalChat } from "./local-chat-request.ts";

export function addChatRoutes(app: App, deps: CallDeps): void {
  app.route({
    method: "POST",
    url: "/v1/chat/completions",
    config: { permission: "scope:ai:chat", rawBody: true },
    bodyLimit: deps.bodyLimitBytes,
    schema: { summary: "OpenAI chat completion, whole or streamed", tags: ["models"], body: RequestBody },
    handler: async (request, reply) => {
      await withLedger(deps, { request, reply, endpoint: "chat.completions" }, async (call) => {
        const chat = readChatRequest(call.body);
        call.asked(chat.model, chat.stream);
        const targets = deps.catalogue.targets(chat.model, allowedModels(call.caller));
        await tryTargets(call, chatters(targets), async (model, mayFallBack) => {
          requireKind(model, "chat");
          const exchange = { reply, ledger: call.ledger, running: call.running, hooks: call.hooks };
          if (model.upstream) return await forward(deps, call, { exchange, chat, model, mayFallBack });
          const asked = readLocalChat(chat);
          await call.ledger.begin(boundUsage({ ...chat, bodyBytes: call.body.length }, model));
          await answerLocally({ ...exchange, model, chat, asked, now: deps.clock.now() });
        });
      });
      return reply;
    },
  });
}

/** Embedded models and those of providers that can be asked. @throws Problem `invalid_request` */
function chatters(targets: readonly Model[]): readonly Model[] {
  return targets.some((model) => !model.upstream) ? targets : askable(targets, chatWire);
}

interface Forwarding {
  exchange: Exchange;
  chat: ChatRequest;
  model: RemoteModel;
  mayFallBack: boolean;
}

async function forward(deps: CallDeps, call: OpenCall, { exchange, chat, model, mayFallBack }: Forwarding): Promise<void> {
  refusePaidExtras(chat.paidExtras, model.price);
  const sized = { ...chat, bodyBytes: call.body.length };
  const bound = boundUsage(sized, model);
  const translated = translateCall(chatWire, model, {
    body: call.body,
    model: chat.model,
    outputCap: chat.outputCap,
    includeUsage: chat.wantsUsageFrame,
    id: chatIdOf(call.ledger.requestId),
    created: Math.floor(deps.clock.now() / 1000),
  });
  // A translation has no place for tools that run at the provider, and says so.
  if (!translated && typeof model.price !== "string") refusePaidTools(paidToolsIn(chat.body, chat.scan, isPaidTool), model.price);
  await call.ledger.begin(bound);
  await forwardCall({
    ...exchange,
    ...(translated ?? passedThrough(chat, model)),
    model,
    toldCap: toldCap(chat.outputCap, model, translated !== undefined),
    stream: chat.stream,
    mayFallBack,
    countedInput: countedInput(sized, bound),
    logRefusal: deps.logRefusal,
  });
}

function passedThrough(chat: ChatRequest, model: RemoteModel): Pick<ForwardedCall, "wire" | "body"> {
  const { takesStreamOptions, outputCapField } = model.upstream.settings;
  const body = upstreamChatBody(chat, {
    upstreamModel: model.upstreamModel,
    asksForUsage: takesStreamOptions,
    // What is set aside for a call must be the most that it can cost: a priced call always carries a cap.
    outputCap: model.price === "free" ? undefined : { field: outputCapField, tokens: model.maxOutputTokens },
  });
  return { wire: takesStreamOptions && !chat.wantsUsageFrame ? chatWireWithOurUsage : chatWire, body };
}
