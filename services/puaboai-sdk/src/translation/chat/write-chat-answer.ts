/** OpenAI's chat answers, whole and as a stream (https://platform.openai.com/docs/api-reference/chat-streaming). */
import { type JsonObject, present } from "../../json/members.ts";
import type { TokenUsage } from "../../usage/token-usage.ts";
import {
  type Answer,
  type AnswerEvent,
  type AnswerOptions,
  type AnswerPart,
  dataFrame,
  type FinishReason,
  type StreamOptions,
  type StreamWriter,
} from "../answer.ts";
import { writeOpenAiError } from "./write-openai-error.ts";

export function writeChatAnswer({ parts, finish, usage }: Answer, { id, created, model }: AnswerOptions): JsonObject {
  const joined = (type: "text" | "reasoning" | "refusal") => {
    const found = parts.filter((part) => part.type === type);
    return found.length === 0 ? undefined : found.map((part) => ("text" in part ? part.text : "")).join("");
  };
  const calls = parts.filter((part) => part.type === "toolCall");
  const message = present({
    role: "assistant",
    content: joined("text") ?? null,
    refusal: joined("refusal") ?? null,
    // No field of OpenAI's, but the one that most servers of open models use.
    reasoning_content: joined("reasoning") || undefined,
    tool_calls: calls.length > 0 ? calls.map((call) => chatCall(call)) : undefined,
  });
  const reason = finishReason(finish, calls.length > 0);
  return present({
    id,
    object: "chat.completion",
    created,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: reason }],
    usage: usage && chatUsage(usage),
  });
}

type CallPart = Extract<AnswerPart, { type: "toolCall" }>;

export function chatCall({ id, name, input, thoughtSignature }: Omit<CallPart, "type">): JsonObject {
  return present({
    id,
    type: "function",
    function: { name, arguments: input },
    extra_content: thoughtSignature === undefined ? undefined : { google: { thought_signature: thoughtSignature } },
  });
}

function finishReason(finish: FinishReason, hasCalls: boolean): string {
  switch (finish) {
    case "length":
      return "length";
    case "filtered":
    case "refusal":
      return "content_filter";
    case "toolCalls":
      return "tool_calls";
    default:
      return hasCalls ? "tool_calls" : "stop";
  }
}

function chatUsage(usage: TokenUsage): JsonObject {
  return {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
    prompt_tokens_details: { cached_tokens: usage.cachedInput },
    completion_tokens_details: { reasoning_tokens: usage.reasoning },
  };
}

export function openChatStreamWriter({ id, created, model, includeUsage }: StreamOptions): StreamWriter {
  const keys: string[] = [];
  let usage: TokenUsage | undefined;
  let finish: FinishReason = "stop";
  let isFirst = true;
  const frame = (rest: JsonObject) => {
    const figures = includeUsage ? { usage: null } : {};
    return dataFrame({ id, object: "chat.completion.chunk", created, model, ...figures, ...rest });
  };
  const chunk = (delta: JsonObject, reason: string | null = null): string[] => {
    const whole = isFirst ? { role: "assistant", ...delta } : delta;
    isFirst = false;
    return [frame({ choices: [{ index: 0, delta: whole, logprobs: null, finish_reason: reason }] })];
  };
  return (event: AnswerEvent) => {
    switch (event.type) {
      case "text":
        return chunk({ content: event.text });
      case "refusal":
        return chunk({ refusal: event.text });
      case "reasoning":
        return chunk({ reasoning_content: event.text });
      case "toolCall": {
        const index = keys.push(event.key) - 1;
        return chunk({ tool_calls: [{ index, ...chatCall({ ...event, input: "" }) }] });
      }
      case "toolInput": {
        const index = keys.lastIndexOf(event.key);
        return index === -1 ? [] : chunk({ tool_calls: [{ index, function: { arguments: event.text } }] });
      }
      case "usage":
        usage = event.usage;
        return [];
      case "finish":
        finish = event.finish;
        return [];
      case "error":
        return [dataFrame(writeOpenAiError(event.error))];
      case "end": {
        const last = chunk({}, finishReason(finish, keys.length > 0));
        const figures = includeUsage && usage ? [frame({ choices: [], usage: chatUsage(usage) })] : [];
        return [...last, ...figures, "data: [DONE]\n\n"];
      }
      default:
        return [];
    }
  };
}
