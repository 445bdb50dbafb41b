/** Anthropic's Messages request (https://docs.anthropic.com/en/api/messages). */
import { type JsonObject, parsedObject, present } from "../../json/members.ts";
import {
  type AssistantPart,
  budgetOfEffort,
  type Conversation,
  type MediaPart,
  type TextPart,
  type Tool,
  type ToolCallPart,
  type UserPart,
  effortOf,
  writeKnobs,
} from "../conversation.ts";
import { refusal } from "../json-fields.ts";
import type { RequestOptions } from "../translator.ts";
import { claudeTraits } from "./claude-traits.ts";

export function writeMessagesRequest(talk: Conversation, options: RequestOptions): { body: JsonObject; lost: string[] } {
  const lost: string[] = [];
  const thinking = writeThinking(talk, options, lost);
  const { user, ...sampling } = writeSampling(talk, options, thinking.thinking !== undefined, lost);
  const body = present({
    model: options.model,
    max_tokens: options.maxOutputTokens,
    messages: talk.turns.map((turn) => ({
      role: turn.role,
      content: turn.role === "user" ? userContent(turn.parts, lost) : assistantContent(turn.parts, lost),
    })),
    system: talk.system.length > 0 ? talk.system.filter(hasText).map(textBlock) : undefined,
    tools: talk.tools.length > 0 ? talk.tools.map(toolOf) : undefined,
    tool_choice: toolChoiceOf(talk, thinking.thinking !== undefined || claudeTraits(options.model).refusesForcedTools, lost),
    stop_sequences: stopsOf(talk, lost),
    stream: talk.stream ? true : undefined,
    metadata: user === undefined ? undefined : { user_id: user },
    thinking: thinking.thinking,
    output_config: outputConfig(talk, options.model, thinking.effort, lost),
    ...sampling,
  });
  const messages = body["messages"] as { role: string; content: unknown[] }[];
  body["messages"] = messages.filter((message) => message.content.length > 0);
  return { body, lost };
}

function hasText(part: TextPart): boolean {
  return part.text !== "";
}

function textBlock(part: TextPart): JsonObject {
  return present({ type: "text", text: part.text, cache_control: part.cache });
}

/** Results of tools come first: Anthropic refuses a turn where anything stands before them. */
function userContent(parts: UserPart[], lost: string[]): JsonObject[] {
  const results = parts.filter((part) => part.type === "toolResult");
  const others = parts.filter((part) => part.type !== "toolResult");
  return [
    ...results.map(({ id, parts: inside, failed }) =>
      present({
        type: "tool_result",
        tool_use_id: id,
        content: inside.flatMap((part) => block(part, lost)),
        is_error: failed ? true : undefined,
      }),
    ),
    ...others.flatMap((part) => block(part, lost)),
  ];
}

function block(part: TextPart | MediaPart, lost: string[]): JsonObject[] {
  if (part.type === "text") return hasText(part) ? [textBlock(part)] : [];
  if (part.detail && part.detail.value !== "auto") lost.push(part.detail.pointer);
  const source =
    "url" in part ? { type: "url", url: part.url } : { type: "base64", media_type: part.mediaType, data: part.base64 };
  if (part.kind === "image") return [{ type: "image", source }];
  return [present({ type: "document", source, title: part.name })];
}

function assistantContent(parts: AssistantPart[], lost: string[]): JsonObject[] {
  return parts.flatMap((part): JsonObject[] => {
    if (part.type === "toolCall") return [callBlock(part)];
    if (part.type === "text") return hasText(part) ? [textBlock(part)] : [];
    if (part.type === "refusal") return part.text === "" ? [] : [{ type: "text", text: part.text }];
    if (part.redacted !== undefined) return [{ type: "redacted_thinking", data: part.redacted }];
    if (part.signature !== undefined) return [{ type: "thinking", thinking: part.text, signature: part.signature }];
    lost.push(part.pointer);
    return [];
  });
}

function callBlock({ id, name, input, pointer }: ToolCallPart): JsonObject {
  const parsed = parsedObject(input === "" ? "{}" : input);
  if (!parsed) throw refusal(pointer, "must have arguments that are a JSON object");
  return { type: "tool_use", id, name, input: parsed };
}

function toolOf({ name, description, schema, strict, cache }: Tool): JsonObject {
  return present({ name, description, input_schema: schema, strict: strict === true ? true : undefined, cache_control: cache });
}

function toolChoiceOf(talk: Conversation, thinks: boolean, lost: string[]): JsonObject | undefined {
  if (talk.tools.length === 0) return undefined;
  const { toolChoice: choice, parallelTools } = talk;
  if (choice === "none") return { type: "none" };
  const single = parallelTools === false ? { disable_parallel_tool_use: true } : {};
  const isForced = choice === "required" || typeof choice === "object";
  if (isForced && thinks) lost.push(talk.pointers.toolChoice ?? "/tool_choice");
  if (isForced && !thinks)
    return choice === "required" ? { type: "any", ...single } : { type: "tool", name: choice.name, ...single };
  return choice === undefined && parallelTools !== false ? undefined : { type: "auto", ...single };
}

/** A stop sequence of blanks is refused there. */
function stopsOf(talk: Conversation, lost: string[]): string[] | undefined {
  const stops = talk.stop.filter((stop) => stop.trim() !== "");
  if (stops.length < talk.stop.length) lost.push(talk.pointers.stop ?? "/stop");
  return stops.length > 0 ? stops : undefined;
}

function outputConfig(talk: Conversation, model: string, effort: string | undefined, lost: string[]): JsonObject | undefined {
  const { output } = talk;
  const format = output?.type === "schema" && !claudeTraits(model).refusesSchema;
  if (output && !format) lost.push(talk.pointers.output ?? "/response_format");
  if (!format && effort === undefined) return undefined;
  return present({ format: format ? { type: "json_schema", schema: output.schema } : undefined, effort });
}

/** Either temperature or top_p; neither where the model refuses them or thinks; and a scale that ends at 1, not at OpenAI's 2. */
function writeSampling(talk: Conversation, { model }: RequestOptions, thinks: boolean, lost: string[]): JsonObject {
  const knobs = writeKnobs(talk, { temperature: "temperature", topP: "top_p", topK: "top_k", user: "user" }, lost);
  const drop = (name: string, pointer: string | undefined) => {
    if (knobs[name] === undefined) return;
    delete knobs[name];
    lost.push(pointer ?? `/${name}`);
  };
  const { refusesSampling } = claudeTraits(model);
  if (refusesSampling || thinks) {
    drop("temperature", talk.knobs.temperature?.pointer);
    drop("top_k", talk.knobs.topK?.pointer);
  }
  if (refusesSampling || knobs["temperature"] !== undefined) drop("top_p", talk.knobs.topP?.pointer);
  if (Number(knobs["temperature"]) > 1) {
    knobs["temperature"] = 1;
    lost.push(talk.knobs.temperature?.pointer ?? "/temperature");
  }
  return knobs;
}

const leastBudget = 1024;

function writeThinking(
  talk: Conversation,
  { model, maxOutputTokens }: RequestOptions,
  lost: string[],
): { thinking?: JsonObject; effort?: string } {
  const { reasoning } = talk;
  const { thinksByBudget, refusesSampling } = claudeTraits(model);
  if (reasoning === undefined || reasoning.type === "off") return {};
  if (!thinksByBudget) {
    const effort = effortOf(reasoning) ?? "high";
    const display = refusesSampling ? "summarized" : undefined;
    return { thinking: present({ type: "adaptive", display }), effort: effort === "minimal" ? "low" : effort };
  }
  const wanted = reasoning.type === "budget" ? reasoning.tokens : budgetOfEffort(reasoning.effort);
  // The budget is part of the cap and at least 1,024; and a turn that called tools must have kept its signed thoughts.
  const budget = Math.min(wanted, maxOutputTokens - leastBudget);
  if (budget < leastBudget || answersUnsignedCalls(talk)) {
    lost.push(talk.pointers.reasoning ?? "/reasoning_effort");
    return {};
  }
  return { thinking: { type: "enabled", budget_tokens: budget } };
}

function answersUnsignedCalls(talk: Conversation): boolean {
  const last = talk.turns.at(-1);
  if (last?.role !== "user" || !last.parts.some((part) => part.type === "toolResult")) return false;
  const before = talk.turns.at(-2);
  if (before?.role !== "assistant") return false;
  return !before.parts.some((part) => part.type === "reasoning" && (part.signature ?? part.redacted) !== undefined);
}
