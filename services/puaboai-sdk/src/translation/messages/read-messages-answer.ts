/** Anthropic's answers, whole and as a stream (https://docs.anthropic.com/en/docs/build-with-claude/streaming). */
import { isJsonObject, type JsonObject, listOf, memberOf, parsedObject, textOf } from "../../json/members.ts";
import { isCount, noTokens, type TokenUsage } from "../../usage/token-usage.ts";
import { type Answer, type AnswerEvent, type AnswerPart, type FinishReason, notAnAnswer, type StreamReader } from "../answer.ts";

export function readMessagesAnswer(body: JsonObject): Answer {
  if (!Array.isArray(body["content"])) throw notAnAnswer();
  return {
    parts: listOf(body, "content").flatMap(readBlock),
    finish: finishOf(textOf(body, "stop_reason")),
    stopSequence: textOf(body, "stop_sequence"),
    usage: readFigures(body["usage"], undefined),
  };
}

function readBlock(block: unknown): AnswerPart[] {
  switch (textOf(block, "type")) {
    case "text":
      return [{ type: "text", text: textOf(block, "text") ?? "" }];
    case "thinking":
      return [{ type: "reasoning", text: textOf(block, "thinking") ?? "", signature: textOf(block, "signature") }];
    case "redacted_thinking":
      return [{ type: "reasoning", text: "", redacted: textOf(block, "data") ?? "" }];
    case "tool_use": {
      const input = JSON.stringify(memberOf(block, "input") ?? {});
      return [{ type: "toolCall", id: textOf(block, "id") ?? "", name: textOf(block, "name") ?? "", input }];
    }
    default:
      return [];
  }
}

function finishOf(reason: string | undefined): FinishReason {
  switch (reason) {
    case "max_tokens":
    case "model_context_window_exceeded":
      return "length";
    case "tool_use":
      return "toolCalls";
    case "refusal":
      return "refusal";
    case "stop_sequence":
      return "stopSequence";
    case "pause_turn":
      return "paused";
    default:
      return "stop";
  }
}

/** The first event of a stream has the input, the last the output; Anthropic counts cached input beside the rest. */
function readFigures(value: unknown, before: TokenUsage | undefined): TokenUsage | undefined {
  if (!isJsonObject(value)) return before;
  const known = before ?? noTokens;
  const count = (name: string) => {
    const found = value[name];
    return isCount(found) ? found : undefined;
  };
  const fresh = count("input_tokens") ?? known.input - known.cachedInput - known.cacheWrite - known.cacheWriteHour;
  const hour = memberOf(value, "cache_creation", "ephemeral_1h_input_tokens");
  const cachedInput = count("cache_read_input_tokens") ?? known.cachedInput;
  const written = count("cache_creation_input_tokens") ?? known.cacheWrite + known.cacheWriteHour;
  const cacheWriteHour = Math.min(isCount(hour) ? hour : known.cacheWriteHour, written);
  const thought = memberOf(value, "output_tokens_details", "thinking_tokens");
  return {
    input: Math.max(fresh, 0) + cachedInput + written,
    output: count("output_tokens") ?? known.output,
    cachedInput,
    cacheWrite: written - cacheWriteHour,
    cacheWriteHour,
    reasoning: isCount(thought) ? thought : known.reasoning,
  };
}

export function openMessagesStreamReader(): StreamReader {
  let usage: TokenUsage | undefined;
  // The call whose input has not begun: one without arguments ends so, and an empty text is no JSON.
  let bare: string | undefined;
  const figures = (value: unknown): AnswerEvent[] => {
    usage = readFigures(value, usage);
    return usage ? [{ type: "usage", usage }] : [];
  };
  const noting = (events: AnswerEvent[]): AnswerEvent[] => {
    for (const event of events) {
      if (event.type === "toolCall") bare = event.key;
      if (event.type === "toolInput" && event.text !== "") bare = undefined;
    }
    return events;
  };
  return ({ data }) => {
    const event = parsedObject(data);
    switch (textOf(event, "type")) {
      case "message_start":
        return figures(memberOf(event, "message", "usage"));
      case "content_block_start":
        return noting(blockStart(keyOf(event), memberOf(event, "content_block")));
      case "content_block_delta":
        return noting(blockDelta(keyOf(event), memberOf(event, "delta")));
      case "content_block_stop":
        return bare === undefined ? [] : noting([{ type: "toolInput", key: bare, text: "{}" }]);
      case "message_delta": {
        const reason = textOf(event, "delta", "stop_reason");
        const stopSequence = textOf(event, "delta", "stop_sequence");
        const told = figures(memberOf(event, "usage"));
        return reason === undefined ? told : [...told, { type: "finish", finish: finishOf(reason), stopSequence }];
      }
      case "message_stop":
        return [{ type: "end" }];
      case "error":
        return [{ type: "error", error: streamError(event) }];
      default:
        return [];
    }
  };
}

function keyOf(event: unknown): string {
  const index = memberOf(event, "index");
  return typeof index === "number" ? String(index) : "";
}

function blockStart(key: string, block: unknown): AnswerEvent[] {
  const [part] = readBlock(block);
  if (part === undefined) return [];
  switch (part.type) {
    case "toolCall": {
      const { id, name, input } = part;
      // It comes in deltas as a rule, and the start has an empty object.
      const whole: AnswerEvent[] = input === "{}" ? [] : [{ type: "toolInput", key, text: input }];
      return [{ type: "toolCall", key, id, name }, ...whole];
    }
    case "reasoning":
      if (part.redacted !== undefined) return [{ type: "redactedReasoning", data: part.redacted }];
      return part.text === "" ? [] : [{ type: "reasoning", text: part.text }];
    default:
      return part.text === "" ? [] : [{ type: "text", text: part.text }];
  }
}

function blockDelta(key: string, delta: unknown): AnswerEvent[] {
  switch (textOf(delta, "type")) {
    case "text_delta":
      return [{ type: "text", text: textOf(delta, "text") ?? "" }];
    case "thinking_delta":
      return [{ type: "reasoning", text: textOf(delta, "thinking") ?? "" }];
    case "signature_delta":
      return [{ type: "reasoningSignature", signature: textOf(delta, "signature") ?? "" }];
    case "input_json_delta":
      return [{ type: "toolInput", key, text: textOf(delta, "partial_json") ?? "" }];
    default:
      return [];
  }
}

const statusOfKind: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  rate_limit_error: 429,
  timeout_error: 504,
  overloaded_error: 529,
};

function streamError(event: unknown): { status: number; message: string; code?: string | undefined } {
  const code = textOf(event, "error", "type");
  const status = statusOfKind[code ?? ""] ?? 500;
  return { status, message: textOf(event, "error", "message") ?? "The model provider failed.", code };
}
