/** Anthropic's answers, whole and as events, in the shape of OpenAI's chat completions. */
import { mergeUsage } from "../messages/read-usage.ts";
import type { TokenUsage } from "../usage/token-usage.ts";
import { type AnswerIdentity, isJsonObject, type JsonObject, objectsOf, textOf } from "./conversion.ts";

interface Options extends AnswerIdentity {
  /** The input of this tool is the answer itself. */
  answerTool: string | undefined;
  /** The client asked for the frame with the usage. */
  wantsUsage: boolean;
}

/** @throws TypeError for what is no message */
export function chatAnswerOf(message: JsonObject, { id, created, model, answerTool }: Options): JsonObject {
  const blocks = objectsOf(message["content"]);
  if (message["type"] !== "message") throw new TypeError("the provider answered no message");
  const text = blocks.flatMap((block) => (block["type"] === "text" ? [textOf(block["text"]) ?? ""] : []));
  const thought = blocks.flatMap((block) => (block["type"] === "thinking" ? [textOf(block["thinking"]) ?? ""] : []));
  const calls = blocks.filter((block) => block["type"] === "tool_use");
  const answer = calls.find(({ name }) => answerTool !== undefined && name === answerTool);
  const toolCalls = answer
    ? []
    : calls.map(({ id: callId, name, input }) => ({
        id: callId,
        type: "function",
        function: { name, arguments: JSON.stringify(input ?? {}) },
      }));
  const content = answer ? JSON.stringify(answer["input"]) : text.length > 0 ? text.join("") : null;
  return {
    id,
    object: "chat.completion",
    created,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content,
          refusal: null,
          ...(thought.length > 0 ? { reasoning_content: thought.join("") } : {}),
          ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
        },
        logprobs: null,
        finish_reason: answer ? "stop" : finishOf(message["stop_reason"]),
      },
    ],
    usage: usageOf(mergeUsage(undefined, message["usage"])),
  };
}

export function chatErrorOf(body: JsonObject): JsonObject {
  const error = isJsonObject(body["error"]) ? body["error"] : {};
  const type = textOf(error["type"]) ?? "invalid_request_error";
  return { error: { message: textOf(error["message"]) ?? "The provider refused the request.", type, param: null, code: type } };
}

/** Makes chunks of events; one for each stream. */
export function openChunks(options: Options): (event: JsonObject) => string {
  const { answerTool, wantsUsage, ...identity } = options;
  let usage: TokenUsage | undefined;
  let calls = 0;
  let finish: unknown;
  /** The block whose pieces are the answer itself. */
  let answering = false;
  const chunk = (choices: JsonObject[], more: JsonObject = {}): string => {
    const { id, created, model } = identity;
    return `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created, model, choices, ...(wantsUsage ? { usage: null } : {}), ...more })}\n\n`;
  };
  const delta = (change: JsonObject, reason: string | null = null): string =>
    chunk([{ index: 0, delta: change, logprobs: null, finish_reason: reason }]);
  const begin = (block: JsonObject): string => {
    answering = block["type"] === "tool_use" && answerTool !== undefined && block["name"] === answerTool;
    if (block["type"] !== "tool_use" || answering) return "";
    const called = { name: block["name"], arguments: "" };
    return delta({ tool_calls: [{ index: calls++, id: block["id"], type: "function", function: called }] });
  };
  const piece = (given: JsonObject): string => {
    const text = textOf(given["text"]);
    const thought = textOf(given["thinking"]);
    const json = textOf(given["partial_json"]);
    if (text !== undefined) return delta({ content: text });
    if (thought !== undefined) return delta({ reasoning_content: thought });
    if (json === undefined || json === "") return "";
    return answering ? delta({ content: json }) : delta({ tool_calls: [{ index: calls - 1, function: { arguments: json } }] });
  };
  const told = (event: JsonObject): void => {
    const message = isJsonObject(event["message"]) ? event["message"] : event;
    usage = mergeUsage(usage, message["usage"]);
  };
  return (event) => {
    switch (event["type"]) {
      case "message_start":
        told(event);
        return delta({ role: "assistant", content: "", refusal: null });
      case "content_block_start":
        return isJsonObject(event["content_block"]) ? begin(event["content_block"]) : "";
      case "content_block_delta":
        return isJsonObject(event["delta"]) ? piece(event["delta"]) : "";
      case "message_delta":
        told(event);
        finish = isJsonObject(event["delta"]) ? event["delta"]["stop_reason"] : undefined;
        return "";
      case "message_stop":
        return [
          delta({}, answerTool !== undefined && calls === 0 && finish === "tool_use" ? "stop" : finishOf(finish)),
          wantsUsage ? chunk([], { usage: usageOf(usage) }) : "",
          "data: [DONE]\n\n",
        ].join("");
      case "error":
        return `data: ${JSON.stringify(chatErrorOf(event))}\n\n`;
      default:
        return "";
    }
  };
}

function finishOf(reason: unknown): string {
  const names: Readonly<Record<string, string>> = {
    max_tokens: "length",
    model_context_window_exceeded: "length",
    tool_use: "tool_calls",
    refusal: "content_filter",
  };
  return (typeof reason === "string" ? names[reason] : undefined) ?? "stop";
}

function usageOf(usage: TokenUsage | undefined): JsonObject | null {
  if (!usage) return null;
  return {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
    prompt_tokens_details: { cached_tokens: usage.cachedInput },
  };
}
