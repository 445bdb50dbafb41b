/** OpenAI's Responses answers, whole and as a stream (https://platform.openai.com/docs/api-reference/responses-streaming). */
import { isJsonObject, type JsonObject, listOf, memberOf, parsedObject, textOf } from "../../json/members.ts";
import { readInputOutputUsage } from "../../usage/token-usage.ts";
import {
  type Answer,
  type AnswerEvent,
  type AnswerPart,
  type FinishReason,
  notAnAnswer,
  readUpstreamError,
  type StreamReader,
} from "../answer.ts";

export function readResponsesAnswer(body: JsonObject): Answer {
  if (!Array.isArray(body["output"]) || body["status"] === "failed") throw notAnAnswer();
  const parts = listOf(body, "output").flatMap(readItem);
  const has = (type: AnswerPart["type"]) => parts.some((part) => part.type === type);
  return { parts, finish: finishOf(body, has("toolCall"), has("refusal")), usage: readInputOutputUsage(body["usage"]) };
}

function readItem(item: unknown): AnswerPart[] {
  switch (textOf(item, "type")) {
    case "message":
      return listOf(item, "content").flatMap(readContent);
    case "reasoning": {
      const told = [...listOf(item, "summary"), ...listOf(item, "content")].map((part) => textOf(part, "text") ?? "");
      return told.length === 0 ? [] : [{ type: "reasoning", text: told.join("\n\n") }];
    }
    case "function_call": {
      const input = textOf(item, "arguments") ?? "";
      return [{ type: "toolCall", id: textOf(item, "call_id") ?? "", name: textOf(item, "name") ?? "", input }];
    }
    default:
      return [];
  }
}

function readContent(part: unknown): AnswerPart[] {
  switch (textOf(part, "type")) {
    case "output_text":
      return [{ type: "text", text: textOf(part, "text") ?? "" }];
    case "refusal":
      return [{ type: "refusal", text: textOf(part, "refusal") ?? "" }];
    default:
      return [];
  }
}

function finishOf(response: unknown, hasCalls: boolean, hasRefusal: boolean): FinishReason {
  const reason = textOf(response, "incomplete_details", "reason");
  if (reason === "content_filter") return "filtered";
  if (textOf(response, "status") === "incomplete") return "length";
  if (hasCalls) return "toolCalls";
  return hasRefusal ? "refusal" : "stop";
}

export function openResponsesStreamReader(): StreamReader {
  const calls = callReader();
  let hasRefusal = false;
  return ({ data }) => {
    const event = parsedObject(data);
    const type = textOf(event, "type");
    const delta = textOf(event, "delta") ?? "";
    switch (type) {
      case "response.output_text.delta":
        return [{ type: "text", text: delta }];
      case "response.refusal.delta":
        hasRefusal = true;
        return [{ type: "refusal", text: delta }];
      case "response.reasoning_summary_text.delta":
      case "response.reasoning_text.delta":
        return [{ type: "reasoning", text: delta }];
      case "response.reasoning_summary_part.added":
        return memberOf(event, "summary_index") === 0 ? [] : [{ type: "reasoning", text: "\n\n" }];
      case "response.completed":
      case "response.incomplete":
        return lastEvents(memberOf(event, "response"), calls.any(), hasRefusal);
      case "response.failed":
      case "error":
        return [{ type: "error", error: streamError(event ?? {}) }];
      default:
        return calls.read(type, event);
    }
  };
}

/** The arguments of a call come in deltas, or, from servers that do not cut them, whole at the end. */
function callReader() {
  const withInput = new Map<string, boolean>();
  const input = (key: string, text: string): AnswerEvent[] => {
    if (text === "" || !withInput.has(key)) return [];
    withInput.set(key, true);
    return [{ type: "toolInput", key, text }];
  };
  return {
    any: () => withInput.size > 0,
    read(type: string | undefined, event: unknown): AnswerEvent[] {
      const index = memberOf(event, "output_index");
      const key = typeof index === "number" ? String(index) : "";
      const [call] = readItem(memberOf(event, "item"));
      switch (type) {
        case "response.output_item.added":
          if (call?.type !== "toolCall") return [];
          withInput.set(key, false);
          return [{ type: "toolCall", key, id: call.id, name: call.name }, ...input(key, call.input)];
        case "response.function_call_arguments.delta":
          return input(key, textOf(event, "delta") ?? "");
        case "response.function_call_arguments.done":
          return withInput.get(key) === false ? input(key, textOf(event, "arguments") ?? "") : [];
        default:
          return [];
      }
    },
  };
}

function lastEvents(response: unknown, hasCalls: boolean, hasRefusal: boolean): AnswerEvent[] {
  const usage = readInputOutputUsage(memberOf(response, "usage"));
  const finish: AnswerEvent = { type: "finish", finish: finishOf(response, hasCalls, hasRefusal) };
  return [...(usage ? [{ type: "usage", usage } as const] : []), finish, { type: "end" }];
}

/** `error` tells it flat, `response.failed` inside the response. */
function streamError(event: JsonObject) {
  const inside = memberOf(event, "response");
  const told = readUpstreamError(500, isJsonObject(inside) ? inside : event);
  return { ...told, code: told.code ?? textOf(event, "code") };
}
