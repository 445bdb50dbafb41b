/** Google's generateContent request (https://ai.google.dev/api/generate-content). The model stands in the URL, not in the body. */
import { type JsonObject, parsedObject, present } from "../../json/members.ts";
import {
  type AssistantPart,
  budgetOfEffort,
  type Conversation,
  type MediaPart,
  type Reasoning,
  type TextPart,
  type ToolCallPart,
  type ToolResultPart,
  type UserPart,
  writeKnobs,
} from "../conversation.ts";
import { refusal } from "../json-fields.ts";
import type { RequestOptions } from "../translator.ts";

const knobNames = {
  temperature: "temperature",
  topP: "topP",
  topK: "topK",
  seed: "seed",
  frequencyPenalty: "frequencyPenalty",
  presencePenalty: "presencePenalty",
} as const;

const mostStops = 5;

export function writeGeminiRequest(talk: Conversation, options: RequestOptions): { body: JsonObject; lost: string[] } {
  const lost: string[] = [];
  const names = callNames(talk);
  const system = talk.system.filter((part) => part.text !== "").map(({ text }) => ({ text }));
  const contents = talk.turns.map((turn) =>
    turn.role === "user"
      ? { role: "user", parts: turn.parts.flatMap((part) => userPart(part, names)) }
      : { role: "model", parts: modelParts(turn.parts, thinksByLevel(options.model), lost) },
  );
  const stops = talk.stop.slice(0, mostStops);
  if (talk.stop.length > mostStops) lost.push(talk.pointers.stop ?? "/stop");
  const body = present({
    systemInstruction: system.length > 0 ? { parts: system } : undefined,
    contents: contents.filter((content) => content.parts.length > 0),
    tools: talk.tools.length > 0 ? [{ functionDeclarations: talk.tools.map((tool) => declaration(tool, lost)) }] : undefined,
    toolConfig: toolConfig(talk),
    generationConfig: present({
      maxOutputTokens: options.maxOutputTokens,
      stopSequences: stops.length > 0 ? stops : undefined,
      ...writeKnobs(talk, knobNames, lost),
      ...outputConfig(talk),
      thinkingConfig: thinkingConfig(talk, options, lost),
    }),
  });
  if (talk.tools.length > 0 && talk.parallelTools === false) lost.push(talk.pointers.parallelTools ?? "/parallel_tool_calls");
  return { body, lost };
}

/** A result names the function here, where OpenAI and Anthropic name the call. */
function callNames(talk: Conversation): Map<string, string> {
  const calls = talk.turns
    .flatMap((turn) => (turn.role === "assistant" ? turn.parts : []))
    .filter((part) => part.type === "toolCall");
  return new Map(calls.map((call) => [call.id, call.name]));
}

function userPart(part: UserPart, names: Map<string, string>): JsonObject[] {
  if (part.type === "toolResult") return resultParts(part, names);
  return plainPart(part);
}

function plainPart(part: TextPart | MediaPart): JsonObject[] {
  if (part.type === "text") return part.text === "" ? [] : [{ text: part.text }];
  if (!("url" in part)) return [{ inlineData: { mimeType: part.mediaType, data: part.base64 } }];
  return [{ fileData: { mimeType: mediaTypeOf(part), fileUri: part.url } }];
}

/** The name's ending tells, as nothing else does without fetching it. */
function mediaTypeOf(part: MediaPart & { url: string }): string {
  const ending = /\.([a-z0-9]{2,5})(?:[?#]|$)/i.exec(part.url.slice(-300))?.[1]?.toLowerCase() ?? "";
  const types: Readonly<Record<string, string>> = {
    gif: "image/gif",
    heic: "image/heic",
    jpeg: "image/jpeg",
    jpg: "image/jpeg",
    pdf: "application/pdf",
    png: "image/png",
    txt: "text/plain",
    webp: "image/webp",
  };
  return Object.hasOwn(types, ending) ? (types[ending] ?? "") : part.kind === "image" ? "image/jpeg" : "application/pdf";
}

/** What a tool shows beside its text follows as parts of the same turn. */
function resultParts({ id, parts, failed, pointer }: ToolResultPart, names: Map<string, string>): JsonObject[] {
  const name = names.get(id);
  if (name === undefined) throw refusal(pointer, "must answer a tool call that stands before it");
  const text = parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
  const media = parts.filter((part) => part.type === "media").flatMap(plainPart);
  return [{ functionResponse: { id, name, response: failed ? { error: text } : { output: text } } }, ...media];
}

function modelParts(parts: AssistantPart[], needsSignature: boolean, lost: string[]): JsonObject[] {
  const calls = parts.filter((part) => part.type === "toolCall");
  return parts.flatMap((part): JsonObject[] => {
    if (part.type === "toolCall") return [callPart(part, needsSignature && part === calls[0])];
    if (part.type !== "reasoning") return part.text === "" ? [] : [{ text: part.text }];
    lost.push(part.pointer);
    return [];
  });
}

/**
 * Gemini 3 refuses the first call of a turn without the signature of its thought; for calls that it did not make itself Google
 * documents this one (https://ai.google.dev/gemini-api/docs/thought-signatures).
 */
const unsigned = "skip_thought_signature_validator";

function callPart({ id, name, input, thoughtSignature, pointer }: ToolCallPart, needsSignature: boolean): JsonObject {
  const args = parsedObject(input === "" ? "{}" : input);
  if (!args) throw refusal(pointer, "must have arguments that are a JSON object");
  return present({
    functionCall: { id, name, args },
    thoughtSignature: thoughtSignature ?? (needsSignature ? unsigned : undefined),
  });
}

function declaration(
  { name, description, schema, strict, strictPointer }: Conversation["tools"][number],
  lost: string[],
): JsonObject {
  if (strict === true) lost.push(strictPointer);
  return present({ name, description, parametersJsonSchema: schema });
}

function toolConfig({ tools, toolChoice }: Conversation): JsonObject | undefined {
  if (tools.length === 0 || toolChoice === undefined) return undefined;
  if (typeof toolChoice === "object") return { functionCallingConfig: { mode: "ANY", allowedFunctionNames: [toolChoice.name] } };
  const modes = { auto: "AUTO", none: "NONE", required: "ANY" };
  return { functionCallingConfig: { mode: modes[toolChoice] } };
}

function outputConfig({ output }: Conversation): JsonObject {
  if (!output) return {};
  const schema = output.type === "schema" ? { responseJsonSchema: output.schema } : {};
  return { responseMimeType: "application/json", ...schema };
}

/** Gemini 3 thinks by levels, those before it within a budget of tokens. */
function thinksByLevel(model: string): boolean {
  return /gemini-(?:[3-9]|\d\d)/.test(model);
}

/** Tokens of a budget that the 2.5 models take, by their names (https://ai.google.dev/gemini-api/docs/thinking); Pro always thinks. */
function budgetRange(model: string): { least: number; most: number; mayBeOff: boolean } {
  if (/2\.5-pro/.test(model)) return { least: 128, most: 32_768, mayBeOff: false };
  return { least: /2\.5-flash-lite/.test(model) ? 512 : 1, most: 24_576, mayBeOff: true };
}

function thinkingConfig(talk: Conversation, options: RequestOptions, lost: string[]): JsonObject | undefined {
  const { reasoning } = talk;
  if (reasoning === undefined) return undefined;
  if (!thinksByLevel(options.model)) return thinkingBudget(talk, { reasoning, ...options }, lost);
  if (reasoning.type === "off") return { thinkingLevel: "low" };
  const isLow = reasoning.type === "budget" ? reasoning.tokens <= 8192 : ["minimal", "low"].includes(reasoning.effort);
  return { thinkingLevel: isLow ? "low" : "high", includeThoughts: true };
}

/** Thoughts are a part of the cap: where they would take all of it, half is left for the answer. */
function thinkingBudget(
  { pointers }: Conversation,
  { reasoning, model, maxOutputTokens }: RequestOptions & { reasoning: Reasoning },
  lost: string[],
): JsonObject {
  const { least, most, mayBeOff } = budgetRange(model);
  const lose = (budget: number): JsonObject => {
    lost.push(pointers.reasoning ?? "/reasoning_effort");
    return { thinkingBudget: budget };
  };
  if (reasoning.type === "off") return mayBeOff ? { thinkingBudget: 0 } : lose(least);
  const wanted = reasoning.type === "budget" ? reasoning.tokens : budgetOfEffort(reasoning.effort);
  const fitting = wanted < maxOutputTokens ? wanted : Math.floor(maxOutputTokens / 2);
  if (fitting < least) return lose(mayBeOff ? 0 : least);
  return { thinkingBudget: Math.min(fitting, most), includeThoughts: true };
}
