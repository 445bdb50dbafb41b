/**
 * Bedrock's Converse request (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html). The model and
 * whether a stream is wanted stand in the URL, not in the body.
 */
import { type JsonObject, parsedObject, present } from "../../json/members.ts";
import {
  type AssistantPart,
  type Conversation,
  type MediaPart,
  type TextPart,
  type Tool,
  type UserPart,
  writeKnobs,
} from "../conversation.ts";
import { refusal } from "../json-fields.ts";
import { claudeTraits } from "../messages/claude-traits.ts";
import type { RequestOptions } from "../translator.ts";

export function writeConverseRequest(
  talk: Conversation,
  { model, maxOutputTokens }: RequestOptions,
): { body: JsonObject; lost: string[] } {
  const lost: string[] = [];
  const system = talk.system.flatMap((part) => textBlocks(part, lost));
  const messages = talk.turns.map((turn) => ({
    role: turn.role,
    content: turn.role === "user" ? userBlocks(turn.parts, lost) : assistantBlocks(turn.parts, lost),
  }));
  // Blanks are no stop sequence there.
  const stops = talk.stop.filter((stop) => stop.trim() !== "");
  if (stops.length < talk.stop.length) lost.push(talk.pointers.stop ?? "/stop");
  if (talk.output) lost.push(talk.pointers.output ?? "/response_format");
  if (talk.reasoning && talk.reasoning.type !== "off") lost.push(talk.pointers.reasoning ?? "/reasoning_effort");
  const body = present({
    messages: messages.filter(({ content }) => content.length > 0),
    system: system.length > 0 ? system : undefined,
    inferenceConfig: present({
      maxTokens: maxOutputTokens,
      stopSequences: stops.length > 0 ? stops : undefined,
      ...sampling(talk, model, lost),
    }),
    toolConfig: toolConfig(talk, lost),
  });
  return { body, lost };
}

/** Temperatures end at 1 here, OpenAI's at 2. Claude takes one of the two, or neither, here as at home. */
function sampling(talk: Conversation, model: string, lost: string[]): JsonObject {
  const knobs = writeKnobs(talk, { temperature: "temperature", topP: "topP" }, lost);
  const drop = (name: "temperature" | "topP"): void => {
    if (knobs[name] === undefined) return;
    delete knobs[name];
    lost.push(talk.knobs[name]?.pointer ?? `/${name}`);
  };
  const isClaude = model.includes("anthropic.claude");
  const takesNone = isClaude && claudeTraits(model).refusesSampling;
  if (takesNone) drop("temperature");
  if (takesNone || (isClaude && knobs["temperature"] !== undefined)) drop("topP");
  if (Number(knobs["temperature"]) > 1) {
    knobs["temperature"] = 1;
    lost.push(talk.knobs.temperature?.pointer ?? "/temperature");
  }
  return knobs;
}

function textBlocks({ text, cache, pointer }: TextPart, lost: string[]): JsonObject[] {
  if (cache) lost.push(`${pointer}/cache_control`);
  return text === "" ? [] : [{ text }];
}

/** Results of tools come first, as the turn that called them is the one before. */
function userBlocks(parts: UserPart[], lost: string[]): JsonObject[] {
  const results = parts.filter((part) => part.type === "toolResult");
  const others = parts.filter((part) => part.type !== "toolResult");
  return [
    ...results.map(({ id, parts: inside, failed }) => {
      const content = inside.flatMap((part) => plainBlocks(part, lost));
      const status = failed ? "error" : undefined;
      return { toolResult: present({ toolUseId: id, content: content.length > 0 ? content : [{ text: "" }], status }) };
    }),
    ...others.flatMap((part) => plainBlocks(part, lost)),
  ];
}

function plainBlocks(part: TextPart | MediaPart, lost: string[]): JsonObject[] {
  if (part.type === "text") return textBlocks(part, lost);
  if (part.detail && part.detail.value !== "auto") lost.push(part.detail.pointer);
  if ("url" in part) throw refusal(part.pointer, "must hold the data itself: Bedrock fetches no address");
  const source = { bytes: part.base64 };
  if (part.kind === "image") return [{ image: { format: formatOf(part, imageFormats), source } }];
  return [{ document: { format: formatOf(part, documentFormats), name: documentName(part.name), source } }];
}

const imageFormats: Readonly<Record<string, string>> = {
  "image/gif": "gif",
  "image/jpeg": "jpeg",
  "image/png": "png",
  "image/webp": "webp",
};
const documentFormats: Readonly<Record<string, string>> = {
  "application/pdf": "pdf",
  "text/csv": "csv",
  "text/html": "html",
  "text/markdown": "md",
  "text/plain": "txt",
};

function formatOf({ mediaType, pointer }: MediaPart & { mediaType: string }, formats: Readonly<Record<string, string>>): string {
  const format = Object.hasOwn(formats, mediaType) ? formats[mediaType] : undefined;
  if (format === undefined) throw refusal(pointer, `must be one of ${Object.keys(formats).join(", ")} for Bedrock`);
  return format;
}

/** It must have one, of letters, digits, single blanks and a few signs. */
function documentName(name = "document"): string {
  const fit = name
    .replaceAll(/[^A-Za-z0-9()[\]-]+/g, " ")
    .trim()
    .slice(0, 200);
  return fit === "" ? "document" : fit;
}

function assistantBlocks(parts: AssistantPart[], lost: string[]): JsonObject[] {
  return parts.flatMap((part): JsonObject[] => {
    switch (part.type) {
      case "text":
        return textBlocks(part, lost);
      case "refusal":
        return part.text === "" ? [] : [{ text: part.text }];
      case "toolCall": {
        const input = parsedObject(part.input === "" ? "{}" : part.input);
        if (!input) throw refusal(part.pointer, "must have arguments that are a JSON object");
        return [{ toolUse: { toolUseId: part.id, name: part.name, input } }];
      }
      case "reasoning":
        return thoughtBlocks(part, lost);
    }
    return [];
  });
}

/** Only what was signed is taken back. */
function thoughtBlocks(part: AssistantPart & { type: "reasoning" }, lost: string[]): JsonObject[] {
  if (part.redacted !== undefined) return [{ reasoningContent: { redactedContent: part.redacted } }];
  if (part.signature !== undefined)
    return [{ reasoningContent: { reasoningText: { text: part.text, signature: part.signature } } }];
  lost.push(part.pointer);
  return [];
}

function toolConfig(talk: Conversation, lost: string[]): JsonObject | undefined {
  const { tools, toolChoice } = talk;
  if (tools.length === 0) return undefined;
  if (toolChoice === "none") {
    // There is no such choice; and a conversation with calls in it is refused without the tools that they are of.
    if (!hasCalls(talk)) return undefined;
    lost.push(talk.pointers.toolChoice ?? "/tool_choice");
  }
  if (talk.parallelTools === false) lost.push(talk.pointers.parallelTools ?? "/parallel_tool_calls");
  return present({ tools: tools.map((tool) => toolSpec(tool, lost)), toolChoice: choiceOf(toolChoice) });
}

function hasCalls({ turns }: Conversation): boolean {
  return turns.some(({ parts }) => parts.some(({ type }) => type === "toolCall" || type === "toolResult"));
}

function choiceOf(choice: Conversation["toolChoice"]): JsonObject | undefined {
  if (typeof choice === "object") return { tool: { name: choice.name } };
  if (choice === "required") return { any: {} };
  return choice === "auto" ? { auto: {} } : undefined;
}

function toolSpec({ name, description, schema, strict, strictPointer, cache, pointer }: Tool, lost: string[]): JsonObject {
  if (strict === true) lost.push(strictPointer);
  if (cache) lost.push(`${pointer}/cache_control`);
  return {
    toolSpec: present({ name, description: description === "" ? undefined : description, inputSchema: { json: schema } }),
  };
}
