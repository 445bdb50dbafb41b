/** OpenAI's chat completions request (https://platform.openai.com/docs/api-reference/chat/create). */
import { type JsonObject, present } from "../../json/members.ts";
import {
  type AssistantPart,
  type Conversation,
  effortOf,
  type MediaPart,
  type OutputFormat,
  type TextPart,
  type ToolResultPart,
  type UserPart,
  writeKnobs,
} from "../conversation.ts";
import { refusal } from "../json-fields.ts";
import type { RequestOptions } from "../translator.ts";
import { capName, refusesEffort } from "./openai-traits.ts";
import { chatCall } from "./write-chat-answer.ts";

const knobNames = {
  temperature: "temperature",
  topP: "top_p",
  seed: "seed",
  frequencyPenalty: "frequency_penalty",
  presencePenalty: "presence_penalty",
  user: "user",
  verbosity: "verbosity",
} as const;

const mostStops = 4;

export function writeChatRequest(talk: Conversation, options: RequestOptions): { body: JsonObject; lost: string[] } {
  const lost: string[] = [];
  const system = talk.system.map((part) => part.text).join("\n\n");
  const stops = talk.stop.slice(0, mostStops);
  if (talk.stop.length > mostStops) lost.push(talk.pointers.stop ?? "/stop");
  const hasTools = talk.tools.length > 0;
  const effort = effortFor(talk, options.model, lost);
  const body = present({
    model: options.model,
    [capName(options.model)]: options.maxOutputTokens,
    messages: [
      ...(system === "" ? [] : [{ role: "system", content: system }]),
      ...talk.turns.flatMap((turn) => (turn.role === "user" ? userMessages(turn.parts) : assistantMessage(turn.parts, lost))),
    ],
    stream: talk.stream ? true : undefined,
    stream_options: talk.stream ? { include_usage: true } : undefined,
    stop: stops.length > 0 ? stops : undefined,
    tools: hasTools ? talk.tools.map(chatTool) : undefined,
    tool_choice: hasTools ? chatToolChoice(talk) : undefined,
    parallel_tool_calls: hasTools ? talk.parallelTools : undefined,
    response_format: talk.output && responseFormat(talk.output),
    reasoning_effort: effort,
    ...writeKnobs(talk, knobNames, lost),
  });
  return { body, lost };
}

/** The effort that the model is told, if it takes one. */
export function effortFor(talk: Conversation, model: string, lost: string[]): string | undefined {
  const effort = effortOf(talk.reasoning);
  if (effort === undefined || !refusesEffort(model)) return effort;
  lost.push(talk.pointers.reasoning ?? "/reasoning_effort");
  return undefined;
}

function chatTool({ name, description, schema, strict }: Conversation["tools"][number]): JsonObject {
  return { type: "function", function: present({ name, description, parameters: schema, strict }) };
}

function chatToolChoice({ toolChoice }: Conversation): unknown {
  return typeof toolChoice === "object" ? { type: "function", function: toolChoice } : toolChoice;
}

function responseFormat(output: OutputFormat): JsonObject {
  if (output.type === "json") return { type: "json_object" };
  const { name, description, schema, strict } = output;
  return { type: "json_schema", json_schema: present({ name, description, schema, strict }) };
}

/** Results of tools are messages of their own, and stand right behind the calls that they answer. */
function userMessages(parts: UserPart[]): JsonObject[] {
  const results = parts.filter((part) => part.type === "toolResult");
  const media = results.flatMap((result) => result.parts.filter((part) => part.type === "media"));
  const others = parts.filter((part) => part.type !== "toolResult");
  // A message of a tool takes text alone: what it shows follows from the user.
  const shown = [...media, ...others];
  return [
    ...results.map((result) => ({ role: "tool", tool_call_id: result.id, content: resultText(result) })),
    ...(shown.length === 0 ? [] : [{ role: "user", content: contentOf(shown) }]),
  ];
}

/** That a tool failed has no field of its own, so the text says it. */
export function resultText({ parts, failed }: ToolResultPart): string {
  const text = parts.map((part) => (part.type === "text" ? part.text : "(shown in the next message)")).join("\n");
  return failed ? `Error: ${text}` : text;
}

function contentOf(parts: (TextPart | MediaPart)[]): string | JsonObject[] {
  const [only] = parts;
  if (parts.length === 1 && only?.type === "text") return only.text;
  return parts.map((part) => {
    if (part.type === "text") return { type: "text", text: part.text };
    return part.kind === "image" ? imagePart(part) : filePart(part);
  });
}

export function urlOf(part: MediaPart): string {
  return "url" in part ? part.url : `data:${part.mediaType};base64,${part.base64}`;
}

function imagePart(part: MediaPart): JsonObject {
  return { type: "image_url", image_url: present({ url: urlOf(part), detail: part.detail?.value }) };
}

function filePart(part: MediaPart): JsonObject {
  if ("url" in part) throw refusal(part.pointer, "must hold the document itself: this model takes none by URL");
  return { type: "file", file: { filename: part.name ?? "document.pdf", file_data: urlOf(part) } };
}

function assistantMessage(parts: AssistantPart[], lost: string[]): JsonObject[] {
  const text = parts.filter((part) => part.type === "text");
  const refusals = parts.filter((part) => part.type === "refusal");
  const calls = parts.filter((part) => part.type === "toolCall");
  for (const part of parts) if (part.type === "reasoning") lost.push(part.pointer);
  if (text.length + refusals.length + calls.length === 0) return [];
  return [
    present({
      role: "assistant",
      content: text.length > 0 ? text.map((part) => part.text).join("") : null,
      refusal: refusals.length > 0 ? refusals.map((part) => part.text).join("") : undefined,
      tool_calls: calls.length > 0 ? calls.map((call) => chatCall(call)) : undefined,
    }),
  ];
}
