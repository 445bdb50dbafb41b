/** OpenAI's chat completions request (https://platform.openai.com/docs/api-reference/chat/create). */
import { type JsonObject } from "../../json/members.ts";
import {
  addAssistantParts,
  addUserParts,
  type AssistantPart,
  base64Of,
  type Conversation,
  emptyConversation,
  type MediaPart,
  readKnobs,
  type TextPart,
} from "../conversation.ts";
import { type JsonFields, jsonFields, refusal } from "../json-fields.ts";
import { readChatOutput, readChatToolChoice, readChatTools } from "./read-chat-tools.ts";

export function readChatRequest(body: JsonObject): Conversation {
  const fields = jsonFields(body);
  const talk = emptyConversation();
  // The call says these: the model's name upstream, the cap that is paid for, and what is done with the figures.
  for (const name of ["model", "max_tokens", "max_completion_tokens", "stream_options"]) fields.any(name);
  refuseUncarried(fields);
  talk.stream = fields.flag("stream") ?? false;
  talk.stop = typeof fields.any("stop") === "string" ? [fields.requiredText("stop")] : fields.texts("stop");
  talk.pointers = {
    stop: "/stop",
    output: "/response_format",
    reasoning: "/reasoning_effort",
    parallelTools: "/parallel_tool_calls",
    toolChoice: "/tool_choice",
  };
  readKnobs(fields, talk, {
    temperature: "temperature",
    top_p: "topP",
    seed: "seed",
    frequency_penalty: "frequencyPenalty",
    presence_penalty: "presencePenalty",
    user: "user",
    verbosity: "verbosity",
  });
  const effort = fields.text("reasoning_effort");
  if (effort !== undefined) talk.reasoning = effort === "none" ? { type: "off" } : { type: "effort", effort };
  talk.output = readChatOutput(fields);
  talk.tools = readChatTools(fields);
  talk.toolChoice = readChatToolChoice(fields);
  talk.parallelTools = fields.flag("parallel_tool_calls");
  for (const message of fields.objects("messages")) readMessage(message, talk);
  if (talk.turns.length === 0) throw refusal("/messages", "must hold a message of the user or the assistant");
  talk.lost.push(...fields.unread());
  return talk;
}

/** What would make another answer than the one asked for, and not merely a poorer one. */
function refuseUncarried(fields: JsonFields): void {
  if ((fields.number("n") ?? 1) !== 1) throw refusal("/n", "must be 1 for this model");
  for (const name of ["functions", "function_call"])
    if (fields.any(name) !== undefined) throw refusal(`/${name}`, "is out of date; use tools");
  fields.texts("modalities").forEach((modality, index) => {
    if (modality !== "text") throw refusal(`/modalities/${index}`, "must be text for this model");
  });
}

function readMessage(message: JsonFields, talk: Conversation): void {
  const role = message.requiredText("role");
  switch (role) {
    case "system":
    case "developer":
      talk.system.push(...textsIn(message, talk));
      break;
    case "user":
      addUserParts(talk, partsIn(message, talk));
      break;
    case "assistant":
      addAssistantParts(talk, assistantParts(message, talk));
      break;
    case "tool": {
      const id = message.requiredText("tool_call_id");
      const parts = textsIn(message, talk);
      addUserParts(talk, [{ type: "toolResult", id, parts, failed: false, pointer: message.pointer }]);
      break;
    }
    default:
      throw refusal(`${message.pointer}/role`, "must be system, developer, user, assistant or tool");
  }
  talk.lost.push(...message.unread());
}

function textsIn(message: JsonFields, talk: Conversation): TextPart[] {
  return partsIn(message, talk).map((part) => {
    if (part.type === "text") return part;
    throw refusal(part.pointer, "must be a text");
  });
}

function partsIn(message: JsonFields, talk: Conversation): (TextPart | MediaPart)[] {
  const content = message.textOrObjects("content");
  if (content === undefined) throw refusal(`${message.pointer}/content`, "is required");
  if (typeof content === "string") return [{ type: "text", text: content, pointer: `${message.pointer}/content` }];
  return content.map((part) => {
    const read = readPart(part);
    talk.lost.push(...part.unread());
    return read;
  });
}

function readPart(part: JsonFields): TextPart | MediaPart {
  const { pointer } = part;
  const type = part.requiredText("type");
  if (type === "text") return { type: "text", text: part.requiredText("text"), pointer };
  if (type === "image_url") {
    const image = part.object("image_url");
    if (!image) throw refusal(`${pointer}/image_url`, "is required");
    const detail = detailOf(image);
    return { type: "media", kind: "image", detail, pointer, ...sourceOf(image.requiredText("url"), `${pointer}/image_url/url`) };
  }
  if (type === "file") {
    const file = part.object("file");
    const data = file?.text("file_data");
    if (!file || data === undefined) throw refusal(`${pointer}/file/file_data`, "is required for this model");
    return {
      type: "media",
      kind: "document",
      name: file.text("filename"),
      pointer,
      ...sourceOf(data, `${pointer}/file/file_data`),
    };
  }
  throw refusal(`${pointer}/type`, "must be text, image_url or file for this model");
}

/** How closely to look at an image. */
export function detailOf(fields: JsonFields): MediaPart["detail"] {
  const value = fields.text("detail");
  return value === undefined ? undefined : { value, pointer: `${fields.pointer}/detail` };
}

/** The place of an image: where it is found, or the image itself. */
export function sourceOf(url: string, pointer: string): { url: string } | { base64: string; mediaType: string } {
  if (!/^data:/i.test(url)) return { url };
  const data = base64Of(url);
  if (!data) throw refusal(pointer, "must be a URL of http or https, or a data URL in base64");
  return data;
}

function assistantParts(message: JsonFields, talk: Conversation): AssistantPart[] {
  const { pointer } = message;
  const parts: AssistantPart[] = [];
  const thought = message.text("reasoning_content") ?? message.text("reasoning");
  if (thought) parts.push({ type: "reasoning", text: thought, pointer: `${pointer}/reasoning_content` });
  const content = message.textOrObjects("content");
  if (typeof content === "string") parts.push({ type: "text", text: content, pointer: `${pointer}/content` });
  else if (content) parts.push(...content.map((part) => assistantPart(part, talk)));
  const refused = message.text("refusal");
  if (refused !== undefined) parts.push({ type: "refusal", text: refused, pointer: `${pointer}/refusal` });
  for (const call of message.objects("tool_calls")) parts.push(readCall(call));
  if (parts.length === 0) throw refusal(`${pointer}/content`, "is required without tool calls");
  return parts;
}

function assistantPart(part: JsonFields, talk: Conversation): AssistantPart {
  const { pointer } = part;
  const isRefusal = part.requiredText("type") === "refusal";
  const read: AssistantPart = isRefusal ? { type: "refusal", text: part.requiredText("refusal"), pointer } : textPart(part);
  talk.lost.push(...part.unread());
  return read;
}

function textPart(part: JsonFields): TextPart {
  const read = readPart(part);
  if (read.type === "text") return read;
  throw refusal(`${part.pointer}/type`, "must be text or refusal");
}

function readCall(call: JsonFields): AssistantPart {
  const { pointer } = call;
  const made = call.object("function");
  if (!made) throw refusal(`${pointer}/function`, "is required");
  // Where Google's own endpoint in OpenAI's dialect puts it (https://ai.google.dev/gemini-api/docs/thought-signatures).
  const thoughtSignature = call.object("extra_content")?.object("google")?.text("thought_signature");
  const input = made.text("arguments") ?? "{}";
  return { type: "toolCall", id: call.requiredText("id"), name: made.requiredText("name"), input, thoughtSignature, pointer };
}
