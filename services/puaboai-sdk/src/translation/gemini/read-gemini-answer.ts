/** Google's answers, whole and as a stream of such (https://ai.google.dev/api/generate-content#generatecontentresponse). */
import { isJsonObject, type JsonObject, listOf, memberOf, parsedObject, textOf } from "../../json/members.ts";
import { readGeminiUsage } from "../../usage/gemini-usage.ts";
import {
  type Answer,
  type AnswerEvent,
  type AnswerPart,
  type FinishReason,
  notAnAnswer,
  readUpstreamError,
  type StreamReader,
} from "../answer.ts";

export function readGeminiAnswer(body: JsonObject): Answer {
  const [candidate] = listOf(body, "candidates");
  const blocked = textOf(body, "promptFeedback", "blockReason");
  if (candidate === undefined && blocked === undefined) throw notAnAnswer();
  if (spoiled.has(textOf(candidate, "finishReason"))) throw notAnAnswer();
  const parts = listOf(candidate, "content", "parts").flatMap((part, index) => readPart(part, `${callIdBase(body)}_${index}`));
  const hasCalls = parts.some((part) => part.type === "toolCall");
  const finish = blocked === undefined ? finishOf(textOf(candidate, "finishReason"), hasCalls) : "filtered";
  return { parts: joined(parts), finish, usage: readGeminiUsage(body["usageMetadata"]) };
}

/** The model meant to call a tool and wrote something that is no call: an answer without it must not look whole. */
const spoiled: ReadonlySet<string | undefined> = new Set(["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"]);

/** Calls have an id only in newer models; one of ours is like no other in the conversation. */
function callIdBase(body: JsonObject): string {
  return `call_${textOf(body, "responseId") ?? "0"}`;
}

/** A whole answer, too, comes cut in parts. */
function joined(parts: AnswerPart[]): AnswerPart[] {
  const whole: AnswerPart[] = [];
  for (const part of parts) {
    const last = whole.at(-1);
    if (part.type === "text" && last?.type === "text") last.text += part.text;
    else if (part.type === "reasoning" && last?.type === "reasoning") last.text += part.text;
    else whole.push({ ...part });
  }
  return whole;
}

function readPart(part: unknown, callId: string): AnswerPart[] {
  const call = memberOf(part, "functionCall");
  if (isJsonObject(call)) {
    const input = JSON.stringify(memberOf(call, "args") ?? {});
    const thoughtSignature = textOf(part, "thoughtSignature");
    return [{ type: "toolCall", id: textOf(call, "id") ?? callId, name: textOf(call, "name") ?? "", input, thoughtSignature }];
  }
  const text = textOf(part, "text");
  if (!text) return [];
  return [{ type: memberOf(part, "thought") === true ? "reasoning" : "text", text }];
}

function finishOf(reason: string | undefined, hasCalls: boolean): FinishReason {
  switch (reason) {
    case "MAX_TOKENS":
      return "length";
    case "SAFETY":
    case "RECITATION":
    case "BLOCKLIST":
    case "PROHIBITED_CONTENT":
    case "SPII":
    case "IMAGE_SAFETY":
      return "filtered";
    default:
      return hasCalls ? "toolCalls" : "stop";
  }
}

/** Each event is an answer with the next piece; the stream has no last one. */
export function openGeminiStreamReader(): StreamReader {
  let calls = 0;
  return ({ data }) => {
    const chunk = parsedObject(data);
    if (!chunk) return [];
    if (memberOf(chunk, "error") !== undefined) return [{ type: "error", error: readUpstreamError(500, chunk) }];
    const [candidate] = listOf(chunk, "candidates");
    const events = listOf(candidate, "content", "parts").flatMap((part): AnswerEvent[] => {
      const [read] = readPart(part, `${callIdBase(chunk)}_${calls}`);
      if (read?.type !== "toolCall")
        return read?.type === "text" || read?.type === "reasoning" ? [{ type: read.type, text: read.text }] : [];
      const { id, name, input, thoughtSignature } = read;
      const key = String(calls++);
      return [
        { type: "toolCall", key, id, name, thoughtSignature },
        { type: "toolInput", key, text: input },
      ];
    });
    const usage = readGeminiUsage(chunk["usageMetadata"]);
    if (usage) events.unshift({ type: "usage", usage });
    const reason = textOf(candidate, "finishReason");
    if (spoiled.has(reason))
      events.push({ type: "error", error: { status: 502, message: `The model's answer ended with ${reason}.` } });
    else if (reason !== undefined) events.push({ type: "finish", finish: finishOf(reason, calls > 0) });
    if (textOf(chunk, "promptFeedback", "blockReason") !== undefined) events.push({ type: "finish", finish: "filtered" });
    return events;
  };
}
