/** Anthropic's whole answers (https://docs.anthropic.com/en/api/messages). */
import { type JsonObject, parsedObject } from "../../json/members.ts";
import { messagesErrorType } from "../../messages/messages-error.ts";
import { noTokens, type TokenUsage } from "../../usage/token-usage.ts";
import type { Answer, AnswerOptions, AnswerPart, FinishReason, UpstreamError } from "../answer.ts";

export function writeMessagesAnswer({ parts, finish, stopSequence, usage }: Answer, { id, model }: AnswerOptions): JsonObject {
  const hasCalls = parts.some((part) => part.type === "toolCall");
  return {
    id,
    type: "message",
    role: "assistant",
    model,
    content: parts.map(blockOf),
    stop_reason: stopReason(finish, hasCalls),
    stop_sequence: stopSequence ?? null,
    usage: messagesUsage(usage ?? noTokens),
  };
}

function blockOf(part: AnswerPart): JsonObject {
  if (part.type === "toolCall") return { type: "tool_use", id: part.id, name: part.name, input: parsedObject(part.input) ?? {} };
  if (part.type !== "reasoning") return { type: "text", text: part.text };
  if (part.redacted !== undefined) return { type: "redacted_thinking", data: part.redacted };
  // Who did not sign it cannot check it when it comes back.
  return { type: "thinking", thinking: part.text, signature: part.signature ?? "" };
}

export function stopReason(finish: FinishReason, hasCalls: boolean): string {
  switch (finish) {
    case "length":
      return "max_tokens";
    case "filtered":
    case "refusal":
      return "refusal";
    case "stopSequence":
      return "stop_sequence";
    case "paused":
      return "pause_turn";
    case "toolCalls":
      return "tool_use";
    default:
      return hasCalls ? "tool_use" : "end_turn";
  }
}

/** Anthropic counts what came from the cache and went there beside the rest of the input. */
export function messagesUsage(usage: TokenUsage): JsonObject {
  const written = usage.cacheWrite + usage.cacheWriteHour;
  return {
    input_tokens: Math.max(usage.input - usage.cachedInput - written, 0),
    cache_creation_input_tokens: written,
    cache_read_input_tokens: usage.cachedInput,
    output_tokens: usage.output,
  };
}

export function writeMessagesError({ status, message }: UpstreamError): JsonObject {
  return { type: "error", error: { type: messagesErrorType(status), message } };
}
