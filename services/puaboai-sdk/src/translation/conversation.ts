/**
 * What a client asks, in no dialect: every client's request is read into it and every upstream's is written from it, so that a
 * new format is one more reader and writer and not one more for each of the others.
 */
import type { JsonObject } from "../json/members.ts";
import type { JsonFields } from "./json-fields.ts";

export interface Conversation {
  system: TextPart[];
  turns: Turn[];
  tools: Tool[];
  toolChoice: ToolChoice | undefined;
  parallelTools: boolean | undefined;
  stream: boolean;
  stop: string[];
  output: OutputFormat | undefined;
  reasoning: Reasoning | undefined;
  /** Numbers and texts that some formats know and others do not, by our name for them. */
  knobs: Partial<Record<Knob, { value: number | string; pointer: string }>>;
  /** Where the client wrote what not every upstream can carry. */
  pointers: Partial<Record<"stop" | "output" | "reasoning" | "parallelTools" | "toolChoice", string>>;
  /** JSON pointers of what the reader itself could not carry. */
  lost: string[];
}

export type Knob = "temperature" | "topP" | "topK" | "seed" | "frequencyPenalty" | "presencePenalty" | "user" | "verbosity";

type Turn = { role: "user"; parts: UserPart[] } | { role: "assistant"; parts: AssistantPart[] };

export interface TextPart {
  type: "text";
  text: string;
  /** The prompt up to here may be kept by the provider (Anthropic's `cache_control`), as the client wrote it. */
  cache?: JsonObject | undefined;
  pointer: string;
}

export type MediaPart = {
  type: "media";
  kind: "image" | "document";
  detail?: { value: string; pointer: string } | undefined;
  name?: string | undefined;
  pointer: string;
} & ({ url: string } | { base64: string; mediaType: string });

export interface ToolResultPart {
  type: "toolResult";
  id: string;
  parts: (TextPart | MediaPart)[];
  failed: boolean;
  pointer: string;
}

export type UserPart = TextPart | MediaPart | ToolResultPart;

export interface ToolCallPart {
  type: "toolCall";
  id: string;
  name: string;
  /** JSON, as the model wrote it. */
  input: string;
  /** What Google wants back with the call. */
  thoughtSignature?: string | undefined;
  pointer: string;
}

/** What a model thought. Only the provider that signed it takes it back. */
interface ReasoningPart {
  type: "reasoning";
  text: string;
  signature?: string | undefined;
  redacted?: string | undefined;
  pointer: string;
}

export type AssistantPart = TextPart | ToolCallPart | ReasoningPart | { type: "refusal"; text: string; pointer: string };

export interface Tool {
  name: string;
  description?: string | undefined;
  schema: JsonObject;
  strict?: boolean | undefined;
  strictPointer: string;
  cache?: JsonObject | undefined;
  pointer: string;
}

export type ToolChoice = "auto" | "none" | "required" | { name: string };

export type OutputFormat =
  | { type: "json" }
  | { type: "schema"; name: string; description?: string | undefined; schema: JsonObject; strict?: boolean | undefined };

/** How much to think: in words, in tokens, or not at all. */
export type Reasoning = { type: "effort"; effort: string } | { type: "budget"; tokens: number } | { type: "off" };

export function emptyConversation(): Conversation {
  return {
    system: [],
    turns: [],
    tools: [],
    toolChoice: undefined,
    parallelTools: undefined,
    stream: false,
    stop: [],
    output: undefined,
    reasoning: undefined,
    knobs: {},
    pointers: {},
    lost: [],
  };
}

/** Notes the knobs that the client turned. @param names ours, by the client's */
export function readKnobs(fields: JsonFields, talk: Conversation, names: Record<string, Knob>): void {
  for (const [name, knob] of Object.entries(names)) {
    const value = knob === "user" || knob === "verbosity" ? fields.text(name) : fields.number(name);
    if (value !== undefined) talk.knobs[knob] = { value, pointer: `${fields.pointer}/${name}` };
  }
}

/** The knobs by the upstream's names; those it has no name for are noted as lost. */
export function writeKnobs(talk: Conversation, names: Partial<Record<Knob, string>>, lost: string[]): JsonObject {
  const written: JsonObject = {};
  for (const [knob, turned] of Object.entries(talk.knobs)) {
    const name = names[knob as Knob];
    if (name === undefined) lost.push(turned.pointer);
    else written[name] = turned.value;
  }
  return written;
}

/** Puts parts at the end of the conversation: turns of one role that follow each other are one turn. */
export function addUserParts(talk: Conversation, parts: UserPart[]): void {
  const last = talk.turns.at(-1);
  if (last?.role === "user") last.parts.push(...parts);
  else talk.turns.push({ role: "user", parts: [...parts] });
}

export function addAssistantParts(talk: Conversation, parts: AssistantPart[]): void {
  const last = talk.turns.at(-1);
  if (last?.role === "assistant") last.parts.push(...parts);
  else talk.turns.push({ role: "assistant", parts: [...parts] });
}

/** How many tokens an effort is worth where a provider counts in tokens; each is a documented or usual figure of theirs. */
export function budgetOfEffort(effort: string): number {
  const budgets: Readonly<Record<string, number>> = { minimal: 1024, low: 2048, medium: 8192, high: 24_576, xhigh: 32_768 };
  return budgets[effort] ?? 8192;
}

function effortOfBudget(tokens: number): string {
  if (tokens <= 2048) return "low";
  return tokens <= 8192 ? "medium" : "high";
}

/** No effort at all is said by `none`, which only some models know; so nothing is said, and the model's own default holds. */
export function effortOf(reasoning: Reasoning | undefined): string | undefined {
  if (reasoning?.type === "effort") return reasoning.effort;
  return reasoning?.type === "budget" ? effortOfBudget(reasoning.tokens) : undefined;
}

/** @returns the media type and data of a `data:` URL (RFC 2397) in base64, the only kind that models take */
export function base64Of(url: string): { mediaType: string; base64: string } | undefined {
  const head = /^data:([a-z0-9.+-]+\/[a-z0-9.+-]+)(?:;[a-z0-9=._-]+)*;base64,/i.exec(url.slice(0, 200));
  return head?.[1] === undefined ? undefined : { mediaType: head[1], base64: url.slice(head[0].length) };
}
