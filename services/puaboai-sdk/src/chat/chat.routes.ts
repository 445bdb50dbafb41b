import { ChatCompletionRequest as RequestBody } from "@nexus/contracts/gateway";
import type { App } from "@nexus/http";
import { boundUsage, countedInput } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, type OpenCall, withLedger } from "../calls/call-deps.ts";
import type { Exchange } from "../calls/exchange.ts";
import { forwardCall } from "../calls/forward-call.ts";
import type { ForwardedCall } from "../calls/forwarded-call.ts";
import { tryTargets } from "../calls/try-targets.ts";
import { type Model, type RemoteModel, requireKind } from "../catalogue/catalogue.ts";
import { chatByMessages } from "../convert/chat-by-messages.ts";
import { messagesWire } from "../messages/messages-wire.ts";
import { refusePaidExtras } from "../wire/paid-tools.ts";
import { speakersOf, speaks } from "../wire/require-wire-format.ts";
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
          const exchange = { reply, ledger: call.ledger, running: call.running };
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

/** Those that can be asked, as they are or translated: of a route, the others are left out. @throws Problem `invalid_request` */
function chatters(targets: readonly Model[]): readonly Model[] {
  const asked = targets.filter((model) => !model.upstream || speaks(model, chatWire.name) || speaks(model, messagesWire.name));
  return asked.length > 0 ? asked : speakersOf(targets, chatWire.name);
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
  const translated = speaks(model, chatWire.name) ? passedThrough(chat, model) : convertedToMessages(deps, call, { chat, model });
  await call.ledger.begin(bound);
  await forwardCall({
    ...exchange,
    ...translated,
    model,
    stream: chat.stream,
    mayFallBack,
    countedInput: countedInput(sized, bound),
    logRefusal: deps.logRefusal,
  });
}

type Translated = Pick<ForwardedCall, "wire" | "body" | "conversion">;

function passedThrough(chat: ChatRequest, model: RemoteModel): Translated {
  const { takesStreamOptions, outputCapField } = model.upstream.settings;
  const body = upstreamChatBody(chat, {
    upstreamModel: model.upstreamModel,
    asksForUsage: takesStreamOptions,
    // What is set aside for a call must be the most that it can cost: a priced call always carries a cap.
    outputCap: model.price === "free" ? undefined : { field: outputCapField, tokens: model.maxOutputTokens },
  });
  return { wire: takesStreamOptions && !chat.wantsUsageFrame ? chatWireWithOurUsage : chatWire, body };
}

function convertedToMessages(
  { clock }: CallDeps,
  { ledger, body }: OpenCall,
  { chat, model }: { chat: ChatRequest; model: RemoteModel },
): Translated {
  const { upstreamModel, maxOutputTokens } = model;
  const conversion = chatByMessages({
    id: chatIdOf(ledger.requestId),
    created: Math.floor(clock.now() / 1000),
    model: chat.model,
    body,
    wantsUsage: chat.wantsUsageFrame,
    upstreamModel,
    maxOutputTokens,
  });
  return { wire: messagesWire, body: conversion.body, conversion };
}
