/** Renders a model inside the gateway in OpenAI's wire format, whole or as a stream of chunks. */
import type { ServerResponse } from "node:http";
import { Problem } from "@nexus/core";
import { toProblem } from "@nexus/http";
import type { AnswerHooks } from "../calls/call-hooks.ts";
import { answerHeaders, type Exchange, streamHeaders, takeOver, watchClient } from "../calls/exchange.ts";
import { asChatModel, type EmbeddedModel } from "../catalogue/catalogue.ts";
import type { LocalChatPart, LocalChatRequest } from "../local-model.ts";
import { noTokens } from "../usage/token-usage.ts";
import { errorFrame } from "../wire/openai-error.ts";
import { chatIdOf } from "./chat-id.ts";
import type { ChatRequest } from "./chat-request.ts";

interface LocalCall extends Exchange {
  model: EmbeddedModel;
  chat: ChatRequest;
  asked: LocalChatRequest;
  /** Milliseconds since the epoch. */
  now: number;
}

type End = Extract<LocalChatPart, { kind: "end" }>;

/** Resolves when the client has its answer or is gone; rejects when nothing was sent and the client is owed an error. */
export async function answerLocally(call: LocalCall): Promise<void> {
  const abort = new AbortController();
  let pieces = 0;
  const stop = (reason: Error, end: { httpStatus: number | null; errorCode?: string }): void => {
    const tokens = { ...noTokens, input: Math.ceil(call.chat.body.length / 3), output: pieces };
    call.ledger.finish({ outcome: "aborted", ...end, usage: { source: "counted", tokens } });
    abort.abort(reason);
  };
  watchClient(call, () => stop(new Error("the client went away"), { httpStatus: null }));
  call.running.onCut((problem) => {
    const httpStatus = call.reply.raw.headersSent ? 200 : problem.status;
    if (!call.ledger.isEnded()) stop(problem, { httpStatus, errorCode: problem.code });
  });
  const parts = asChatModel(call.model.local).chat(call.asked, abort.signal);
  try {
    await (call.chat.stream ? stream(call, parts, { count: () => pieces++, signal: abort.signal }) : whole(call, parts));
  } catch (error) {
    // A client that is gone is owed nothing.
    if (!abort.signal.aborted || error === call.running.cutBy()) throw error;
  }
}

async function whole(call: LocalCall, parts: AsyncIterable<LocalChatPart>): Promise<void> {
  let content = "";
  let end: End | undefined;
  for await (const part of parts) {
    call.ledger.firstByte();
    if (part.kind === "text") content += part.text;
    else end = part;
  }
  const last = required(end);
  const message = { role: "assistant", content, refusal: null };
  const text = JSON.stringify({
    ...envelope(call, "chat.completion"),
    choices: [{ index: 0, message, logprobs: null, finish_reason: last.finishReason }],
    usage: usageOf(last),
  });
  const body = call.hooks?.checkWhole ? await call.hooks.checkWhole(Buffer.from(text)) : text;
  settle(call, last);
  takeOver(call, 200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "x-nexus-cost-nanos": "0",
    ...answerHeaders(call),
  }).end(body);
}

async function stream(
  call: LocalCall,
  parts: AsyncIterable<LocalChatPart>,
  { count, signal }: { count: () => void; signal: AbortSignal },
): Promise<void> {
  const head = envelope(call, "chat.completion.chunk");
  const asked = call.chat.wantsUsageFrame;
  const frame = (choice: object | undefined, usage: object | null = null): string =>
    `data: ${JSON.stringify({ ...head, choices: choice ? [{ index: 0, logprobs: null, finish_reason: null, ...choice }] : [], ...(asked ? { usage } : {}) })}\n\n`;
  const check = call.hooks && localCheck(call.hooks, call.model);
  let raw: ServerResponse | undefined;
  let isFirst = true;
  try {
    for await (const part of parts) {
      let text = isFirst ? frame({ delta: { role: "assistant", content: "", refusal: null } }) : "";
      isFirst = false;
      call.ledger.firstByte();
      if (part.kind === "text") {
        count();
        text += frame({ delta: { content: part.text } });
      } else {
        text += frame({ delta: {}, finish_reason: part.finishReason });
        if (asked) text += frame(undefined, usageOf(part));
        text += "data: [DONE]\n\n";
      }
      const passed = check ? await check(text, part.kind === "end") : text;
      if (part.kind === "end") settle(call, part);
      if (passed === undefined) continue;
      raw ??= takeOver(call, 200, { ...streamHeaders, ...answerHeaders(call) });
      if (!raw.write(passed)) await drained(raw, signal);
    }
    if (!call.ledger.isEnded()) throw new Error("the model ended without figures");
    raw?.end();
  } catch (error) {
    if (!raw || raw.destroyed) throw error;
    const problem = toProblem(error);
    call.ledger.refuse(problem);
    raw.end(errorFrame(problem, call.ledger.requestId));
  }
}

/** Frames on their way through the hooks: as they come, or held until the last. */
function localCheck(hooks: AnswerHooks, model: EmbeddedModel): (text: string, isLast: boolean) => Promise<Buffer | undefined> {
  const { checkStream } = hooks;
  const passing = hooks.openStream(model, {});
  let held = "";
  return async (text, isLast) => {
    if (!checkStream) return passing.push(Buffer.from(text), isLast);
    held += text;
    return isLast ? await checkStream(Buffer.from(held)) : undefined;
  };
}

/** Resolves when there is room again, or no need of it. */
function drained(raw: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      raw.off("drain", go);
      raw.off("close", go);
      signal.removeEventListener("abort", go);
      resolve();
    };
    raw.on("drain", go);
    raw.on("close", go);
    signal.addEventListener("abort", go);
    if (signal.aborted) go();
  });
}

function settle(call: LocalCall, end: End): void {
  const tokens = { ...noTokens, input: end.inputTokens, output: end.outputTokens };
  call.ledger.finish({ outcome: "ok", httpStatus: 200, usage: { source: "counted", tokens } });
}

function envelope(call: LocalCall, object: string) {
  return {
    id: chatIdOf(call.ledger.requestId),
    object,
    created: Math.floor(call.now / 1000),
    model: call.model.id,
    system_fingerprint: null,
  };
}

function usageOf(end: End) {
  return {
    prompt_tokens: end.inputTokens,
    completion_tokens: end.outputTokens,
    total_tokens: end.inputTokens + end.outputTokens,
  };
}

function required(end: End | undefined): End {
  if (!end) throw new Problem("internal", undefined, { cause: new Error("the model ended without figures") });
  return end;
}
