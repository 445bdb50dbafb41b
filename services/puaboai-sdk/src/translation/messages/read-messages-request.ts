/** Anthropic's Messages request (https://docs.anthropic.com/en/api/messages). */
import { type JsonObject } from "../../json/members.ts";
import {
  addAssistantParts,
  addUserParts,
  type AssistantPart,
  type Conversation,
  emptyConversation,
  type MediaPart,
  readKnobs,
  type TextPart,
  type Tool,
  type UserPart,
} from "../conversation.ts";
import { type JsonFields, jsonFields, refusal } from "../json-fields.ts";

export function readMessagesRequest(body: JsonObject): Conversation {
  const fields = jsonFields(body);
  const talk = emptyConversation();
  for (const name of ["model", "max_tokens"]) fields.any(name);
  talk.stream = fields.flag("stream") ?? false;
  talk.stop = fields.texts("stop_sequences");
  talk.pointers = {
    stop: "/stop_sequences",
    output: "/output_config/format",
    reasoning: "/thinking",
    toolChoice: "/tool_choice",
  };
  readKnobs(fields, talk, { temperature: "temperature", top_p: "topP", top_k: "topK" });
  const metadata = fields.object("metadata");
  if (metadata) {
    const user = metadata.text("user_id");
    if (user !== undefined) talk.knobs.user = { value: user, pointer: "/metadata/user_id" };
    talk.lost.push(...metadata.unread());
  }
  const system = fields.textOrObjects("system");
  if (typeof system === "string") talk.system.push({ type: "text", text: system, pointer: "/system" });
  else for (const part of system ?? []) talk.system.push(textOnly(part, talk));
  for (const name of ["mcp_servers", "container"])
    if (fields.any(name) !== undefined) throw refusal(`/${name}`, "is not offered with this model");
  talk.tools = fields.objects("tools").map((tool) => readTool(tool, talk));
  readToolChoice(fields, talk);
  readThinking(fields, talk);
  for (const message of fields.objects("messages")) readMessage(message, talk);
  if (talk.turns.length === 0) throw refusal("/messages", "must hold a message");
  talk.lost.push(...fields.unread());
  return talk;
}

function readTool(tool: JsonFields, talk: Conversation): Tool {
  const { pointer } = tool;
  const type = tool.text("type") ?? "custom";
  if (type !== "custom") throw refusal(`${pointer}/type`, "must be custom for this model");
  const schema = tool.opaque("input_schema");
  if (!schema) throw refusal(`${pointer}/input_schema`, "is required");
  const name = tool.requiredText("name");
  const read = {
    name,
    description: tool.text("description"),
    schema,
    strict: tool.flag("strict"),
    strictPointer: `${pointer}/strict`,
    cache: tool.opaque("cache_control"),
    pointer,
  };
  talk.lost.push(...tool.unread());
  return read;
}

function readToolChoice(fields: JsonFields, talk: Conversation): void {
  const choice = fields.object("tool_choice");
  if (!choice) return;
  const type = choice.requiredText("type");
  if (choice.flag("disable_parallel_tool_use") === true) {
    talk.parallelTools = false;
    talk.pointers.parallelTools = "/tool_choice/disable_parallel_tool_use";
  }
  if (type === "auto" || type === "none") talk.toolChoice = type;
  else if (type === "any") talk.toolChoice = "required";
  else if (type === "tool") talk.toolChoice = { name: choice.requiredText("name") };
  else throw refusal("/tool_choice/type", "must be auto, any, tool or none");
}

function readThinking(fields: JsonFields, talk: Conversation): void {
  const config = fields.object("output_config");
  const effort = config?.text("effort");
  const format = config?.object("format") ?? fields.object("output_format");
  if (format) {
    const schema = format.opaque("schema");
    if (format.requiredText("type") !== "json_schema" || !schema)
      throw refusal(format.pointer, "must be json_schema with its schema");
    talk.output = { type: "schema", name: "response", schema, strict: true };
    talk.pointers.output = format.pointer;
  }
  if (config) talk.lost.push(...config.unread());
  const thinking = fields.object("thinking");
  const type = thinking?.requiredText("type");
  const tokens = thinking?.number("budget_tokens");
  if (type === "disabled") talk.reasoning = { type: "off" };
  else if (effort !== undefined) talk.reasoning = { type: "effort", effort: effort === "max" ? "xhigh" : effort };
  else if (type === "enabled")
    talk.reasoning = tokens === undefined ? { type: "effort", effort: "medium" } : { type: "budget", tokens };
  else if (type === "adaptive") talk.reasoning = { type: "effort", effort: "high" };
  else if (type !== undefined) throw refusal("/thinking/type", "must be enabled, adaptive or disabled");
  if (!thinking && effort !== undefined) talk.pointers.reasoning = "/output_config/effort";
}

function readMessage(message: JsonFields, talk: Conversation): void {
  const role = message.requiredText("role");
  const { pointer } = message;
  const content = message.textOrObjects("content");
  if (content === undefined) throw refusal(`${pointer}/content`, "is required");
  const text: TextPart[] = typeof content === "string" ? [{ type: "text", text: content, pointer: `${pointer}/content` }] : [];
  const blocks = typeof content === "string" ? [] : content;
  if (role === "user") addUserParts(talk, [...text, ...blocks.map((block) => userPart(block, talk))]);
  else if (role === "assistant") addAssistantParts(talk, [...text, ...blocks.map((block) => assistantPart(block, talk))]);
  else throw refusal(`${pointer}/role`, "must be user or assistant");
  talk.lost.push(...message.unread());
}

function userPart(block: JsonFields, talk: Conversation): UserPart {
  if (block.requiredText("type") !== "tool_result") return plainPart(block, talk);
  const { pointer } = block;
  const content = block.textOrObjects("content") ?? [];
  const parts: (TextPart | MediaPart)[] =
    typeof content === "string"
      ? [{ type: "text", text: content, pointer: `${pointer}/content` }]
      : content.map((inside) => plainPart(inside, talk));
  const read: UserPart = {
    type: "toolResult",
    id: block.requiredText("tool_use_id"),
    parts,
    failed: block.flag("is_error") ?? false,
    pointer,
  };
  // Where the cache ends is a hint that only Anthropic takes; the others cache by themselves.
  block.any("cache_control");
  talk.lost.push(...block.unread());
  return read;
}

function plainPart(block: JsonFields, talk: Conversation): TextPart | MediaPart {
  const { pointer } = block;
  const type = block.requiredText("type");
  const cache = block.opaque("cache_control");
  const read = (): TextPart | MediaPart => {
    if (type === "text") return { type: "text", text: block.requiredText("text"), cache, pointer };
    if (type === "image") return { type: "media", kind: "image", pointer, ...sourceOf(block) };
    if (type === "document") return documentPart(block);
    throw refusal(`${pointer}/type`, "must be text, image, document or tool_result for this model");
  };
  const part = read();
  talk.lost.push(...block.unread());
  return part;
}

function textOnly(block: JsonFields, talk: Conversation): TextPart {
  const part = plainPart(block, talk);
  if (part.type === "text") return part;
  throw refusal(`${block.pointer}/type`, "must be text");
}

function documentPart(block: JsonFields): TextPart | MediaPart {
  const { pointer } = block;
  const source = block.object("source");
  const name = block.text("title");
  if (source?.text("type") === "text") return { type: "text", text: source.requiredText("data"), pointer };
  return { type: "media", kind: "document", name, pointer, ...sourceOf(block) };
}

function sourceOf(block: JsonFields): { url: string } | { base64: string; mediaType: string } {
  const source = block.object("source");
  const type = source?.text("type");
  if (source && type === "url") return { url: source.requiredText("url") };
  if (source && type === "base64") return { base64: source.requiredText("data"), mediaType: source.requiredText("media_type") };
  throw refusal(`${block.pointer}/source`, "must be of type base64 or url for this model");
}

function assistantPart(block: JsonFields, talk: Conversation): AssistantPart {
  const { pointer } = block;
  switch (block.requiredText("type")) {
    case "thinking":
      return { type: "reasoning", text: block.requiredText("thinking"), signature: block.text("signature"), pointer };
    case "redacted_thinking":
      return { type: "reasoning", text: "", redacted: block.requiredText("data"), pointer };
    case "tool_use": {
      const input = JSON.stringify(block.opaque("input") ?? {});
      return { type: "toolCall", id: block.requiredText("id"), name: block.requiredText("name"), input, pointer };
    }
    default:
      return textOnly(block, talk);
  }
}
