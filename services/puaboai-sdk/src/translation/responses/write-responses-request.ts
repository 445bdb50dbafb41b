/** OpenAI's Responses request (https://platform.openai.com/docs/api-reference/responses/create). */
import { type JsonObject, present } from "../../json/members.ts";
import { effortFor, resultText, urlOf } from "../chat/write-chat-request.ts";
import {
  type AssistantPart,
  type Conversation,
  type MediaPart,
  type OutputFormat,
  type TextPart,
  type Tool,
  type ToolResultPart,
  type UserPart,
  writeKnobs,
} from "../conversation.ts";
import type { RequestOptions } from "../translator.ts";

export function writeResponsesRequest(talk: Conversation, options: RequestOptions): { body: JsonObject; lost: string[] } {
  const lost: string[] = [];
  const names = { temperature: "temperature", topP: "top_p", user: "user", verbosity: "verbosity" } as const;
  const { verbosity, ...knobs } = writeKnobs(talk, names, lost);
  if (talk.stop.length > 0) lost.push(talk.pointers.stop ?? "/stop");
  const system = talk.system.map((part) => part.text).join("\n\n");
  const effort = effortFor(talk, options.model, lost);
  const format = talk.output && formatOf(talk.output);
  const hasTools = talk.tools.length > 0;
  const body = present({
    model: options.model,
    max_output_tokens: options.maxOutputTokens,
    instructions: system === "" ? undefined : system,
    input: talk.turns.flatMap((turn) => (turn.role === "user" ? userItems(turn.parts) : assistantItems(turn.parts, lost))),
    stream: talk.stream ? true : undefined,
    // The provider would keep it for a month, which nobody asked for.
    store: false,
    tools: hasTools ? talk.tools.map(toolOf) : undefined,
    tool_choice: hasTools ? toolChoiceOf(talk) : undefined,
    parallel_tool_calls: hasTools ? talk.parallelTools : undefined,
    text: format || verbosity !== undefined ? present({ format, verbosity }) : undefined,
    // Without a summary nothing of the thoughts is told.
    reasoning: effort === undefined ? undefined : { effort, summary: "auto" },
    ...knobs,
  });
  return { body, lost };
}

/** A tool is strict here unless it says otherwise; in every other format it is the reverse. */
function toolOf({ name, description, schema, strict }: Tool): JsonObject {
  return present({ type: "function", name, description, parameters: schema, strict: strict ?? false });
}

function toolChoiceOf({ toolChoice }: Conversation): unknown {
  return typeof toolChoice === "object" ? { type: "function", name: toolChoice.name } : toolChoice;
}

function formatOf(output: OutputFormat): JsonObject {
  if (output.type === "json") return { type: "json_object" };
  const { name, description, schema, strict } = output;
  return present({ type: "json_schema", name, description, schema, strict });
}

function userItems(parts: UserPart[]): JsonObject[] {
  const results = parts.filter((part) => part.type === "toolResult");
  const others = parts.filter((part) => part.type !== "toolResult");
  return [
    ...results.map((result) => ({ type: "function_call_output", call_id: result.id, output: outputOf(result) })),
    ...(others.length === 0 ? [] : [{ role: "user", content: others.map(inputPart) }]),
  ];
}

function outputOf(result: ToolResultPart): string | JsonObject[] {
  return result.parts.every((part) => part.type === "text") ? resultText(result) : result.parts.map(inputPart);
}

function inputPart(part: TextPart | MediaPart): JsonObject {
  if (part.type === "text") return { type: "input_text", text: part.text };
  if (part.kind === "image") return { type: "input_image", image_url: urlOf(part), detail: part.detail?.value ?? "auto" };
  if ("url" in part) return { type: "input_file", file_url: part.url };
  return { type: "input_file", filename: part.name ?? "document.pdf", file_data: urlOf(part) };
}

function assistantItems(parts: AssistantPart[], lost: string[]): JsonObject[] {
  return parts.flatMap((part): JsonObject[] => {
    if (part.type === "toolCall") return [{ type: "function_call", call_id: part.id, name: part.name, arguments: part.input }];
    if (part.type === "text") return [{ role: "assistant", content: [{ type: "output_text", text: part.text }] }];
    if (part.type === "refusal") return [{ role: "assistant", content: [{ type: "refusal", refusal: part.text }] }];
    lost.push(part.pointer);
    return [];
  });
}
