/** OpenAI's chat answers, whole and as a stream, with what compatible servers add (`reasoning_content`, `reasoning`). */
import { isJsonObject, type JsonObject, listOf, memberOf, parsedObject, textOf } from "../../json/members.ts";
import { readTokenUsage } from "../../usage/token-usage.ts";
import {
  type Answer,
  type AnswerEvent,
  type AnswerPart,
  type FinishReason,
  notAnAnswer,
  readUpstreamError,
  type StreamReader,
} from "../answer.ts";

export function readChatAnswer(body: JsonObject): Answer {
  const [choice] = listOf(body, "choices");
  const message = memberOf(choice, "message");
  if (!isJsonObject(message)) throw notAnAnswer();
  const parts: AnswerPart[] = [];
  const thought = thoughtOf(message);
  if (thought) parts.push({ type: "reasoning", text: thought });
  const text = textOf(message, "content");
  if (text) parts.push({ type: "text", text });
  const refused = textOf(message, "refusal");
  if (refused) parts.push({ type: "refusal", text: refused });
  for (const call of listOf(message, "tool_calls"))
    parts.push({
      type: "toolCall",
      id: textOf(call, "id") ?? "",
      name: textOf(call, "function", "name") ?? "",
      input: textOf(call, "function", "arguments") ?? "",
      thoughtSignature: signatureOf(call),
    });
  return { parts, finish: finishOf(textOf(choice, "finish_reason"), Boolean(refused)), usage: readTokenUsage(body["usage"]) };
}

function thoughtOf(message: unknown): string | undefined {
  return textOf(message, "reasoning_content") ?? textOf(message, "reasoning");
}

function signatureOf(call: unknown): string | undefined {
  return textOf(call, "extra_content", "google", "thought_signature");
}

function finishOf(reason: string | undefined, refused: boolean): FinishReason {
  switch (reason) {
    case "length":
      return "length";
    case "tool_calls":
    case "function_call":
      return "toolCalls";
    case "content_filter":
      return "filtered";
    default:
      return refused ? "refusal" : "stop";
  }
}

export function openChatStreamReader(): StreamReader {
  const known = new Map<string, string>();
  let refused = false;
  /** The first delta of a call names it; servers that repeat the name with each delta mean the same call. */
  const readCall = (call: unknown, at: number): AnswerEvent[] => {
    const index = memberOf(call, "index");
    const place = String(typeof index === "number" ? index : at);
    const name = textOf(call, "function", "name");
    const id = textOf(call, "id");
    const isNew = Boolean(name) && (!known.has(place) || (Boolean(id) && known.get(place) !== id));
    const events: AnswerEvent[] = [];
    if (isNew) {
      known.set(place, id ?? "");
      events.push({ type: "toolCall", key: place, id: id ?? "", name: name ?? "", thoughtSignature: signatureOf(call) });
    }
    const text = textOf(call, "function", "arguments");
    if (text) events.push({ type: "toolInput", key: place, text });
    return events;
  };
  const readDelta = (delta: unknown): AnswerEvent[] => {
    const events: AnswerEvent[] = [];
    const thought = thoughtOf(delta);
    if (thought) events.push({ type: "reasoning", text: thought });
    const text = textOf(delta, "content");
    if (text) events.push({ type: "text", text });
    const refusal = textOf(delta, "refusal");
    if (refusal) events.push({ type: "refusal", text: refusal });
    refused ||= Boolean(refusal);
    return [...events, ...listOf(delta, "tool_calls").flatMap(readCall)];
  };
  return ({ data }) => {
    if (data.trim() === "[DONE]") return [{ type: "end" }];
    const chunk = parsedObject(data);
    if (!chunk) return [];
    if (memberOf(chunk, "error") !== undefined) return [{ type: "error", error: readUpstreamError(500, chunk) }];
    const [choice] = listOf(chunk, "choices");
    const events = readDelta(memberOf(choice, "delta"));
    const usage = readTokenUsage(chunk["usage"]);
    if (usage) events.push({ type: "usage", usage });
    const reason = textOf(choice, "finish_reason");
    if (reason !== undefined) events.push({ type: "finish", finish: finishOf(reason, refused) });
    return events;
  };
}
