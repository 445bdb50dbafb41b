/** Bedrock's answers, whole and as a stream (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html). */
import { isJsonObject, type JsonObject, listOf, memberOf, parsedObject, textOf } from "../../json/members.ts";
import { readConverseUsage } from "../../usage/converse-usage.ts";
import { type Answer, type AnswerEvent, type AnswerPart, type FinishReason, notAnAnswer, type StreamReader } from "../answer.ts";

export function readConverseAnswer(body: JsonObject): Answer {
  const message = memberOf(body, "output", "message");
  if (!isJsonObject(message) || !Array.isArray(message["content"])) throw notAnAnswer();
  return {
    parts: listOf(message, "content").flatMap(readBlock),
    finish: finishOf(textOf(body, "stopReason")),
    usage: readConverseUsage(body["usage"]),
  };
}

function readBlock(block: unknown): AnswerPart[] {
  const text = textOf(block, "text");
  if (text !== undefined) return [{ type: "text", text }];
  const call = memberOf(block, "toolUse");
  if (isJsonObject(call)) {
    const input = JSON.stringify(call["input"] ?? {});
    return [{ type: "toolCall", id: textOf(call, "toolUseId") ?? "", name: textOf(call, "name") ?? "", input }];
  }
  const thought = memberOf(block, "reasoningContent");
  if (!isJsonObject(thought)) return [];
  const redacted = textOf(thought, "redactedContent");
  if (redacted !== undefined) return [{ type: "reasoning", text: "", redacted }];
  const { reasoningText } = thought;
  return [{ type: "reasoning", text: textOf(reasoningText, "text") ?? "", signature: textOf(reasoningText, "signature") }];
}

function finishOf(reason: string | undefined): FinishReason {
  switch (reason) {
    case "max_tokens":
    case "model_context_window_exceeded":
      return "length";
    case "tool_use":
      return "toolCalls";
    case "stop_sequence":
      return "stopSequence";
    case "guardrail_intervened":
    case "content_filtered":
      return "filtered";
    default:
      return "stop";
  }
}

export function openConverseStreamReader(): StreamReader {
  // The call whose input has not begun: one without arguments ends so, and an empty text is no JSON.
  let bare: string | undefined;
  return ({ event = "", data }) => {
    const payload = parsedObject(data);
    const index = memberOf(payload, "contentBlockIndex");
    const key = typeof index === "number" ? String(index) : "";
    switch (event) {
      case "contentBlockStart": {
        const id = textOf(payload, "start", "toolUse", "toolUseId");
        if (id === undefined) return [];
        bare = key;
        return [{ type: "toolCall", key, id, name: textOf(payload, "start", "toolUse", "name") ?? "" }];
      }
      case "contentBlockDelta": {
        const events = readDelta(key, memberOf(payload, "delta"));
        if (events.some((one) => one.type === "toolInput" && one.text !== "")) bare = undefined;
        return events;
      }
      case "contentBlockStop": {
        if (bare !== key) return [];
        bare = undefined;
        return [{ type: "toolInput", key, text: "{}" }];
      }
      case "messageStop":
        return [{ type: "finish", finish: finishOf(textOf(payload, "stopReason")) }];
      case "metadata": {
        const usage = readConverseUsage(memberOf(payload, "usage"));
        return usage ? [{ type: "usage", usage }, { type: "end" }] : [{ type: "end" }];
      }
      default:
        return readFault(event, payload);
    }
  };
}

function readDelta(key: string, delta: unknown): AnswerEvent[] {
  const text = textOf(delta, "text");
  if (text !== undefined) return [{ type: "text", text }];
  const input = textOf(delta, "toolUse", "input");
  if (input !== undefined) return [{ type: "toolInput", key, text: input }];
  const thought = memberOf(delta, "reasoningContent");
  const [told, signature, data] = [textOf(thought, "text"), textOf(thought, "signature"), textOf(thought, "redactedContent")];
  if (told !== undefined) return [{ type: "reasoning", text: told }];
  if (signature !== undefined) return [{ type: "reasoningSignature", signature }];
  return data === undefined ? [] : [{ type: "redactedReasoning", data }];
}

const statusOfFault: Readonly<Record<string, number>> = {
  internalServerException: 500,
  modelStreamErrorException: 502,
  serviceUnavailableException: 503,
  throttlingException: 429,
  validationException: 400,
};

function readFault(event: string, payload: JsonObject | undefined): AnswerEvent[] {
  if (event !== "error" && !event.endsWith("Exception")) return [];
  const status = (Object.hasOwn(statusOfFault, event) ? statusOfFault[event] : undefined) ?? 500;
  return [{ type: "error", error: { status, message: textOf(payload, "message") ?? "The model provider failed.", code: event } }];
}
