/** OpenAI's Responses request (https://platform.openai.com/docs/api-reference/responses/create). */
import { type JsonObject } from "../../json/members.ts";
import { detailOf, sourceOf } from "../chat/read-chat-request.ts";
import { functionTool, schemaOutput } from "../chat/read-chat-tools.ts";
import {
  addAssistantParts,
  addUserParts,
  type AssistantPart,
  type Conversation,
  emptyConversation,
  type MediaPart,
  type OutputFormat,
  readKnobs,
  type TextPart,
  type Tool,
  type ToolChoice,
} from "../conversation.ts";
import { type JsonFields, jsonFields, refusal } from "../json-fields.ts";

export function readResponsesRequest(body: JsonObject): Conversation {
  const fields = jsonFields(body);
  const talk = emptyConversation();
  for (const name of ["model", "max_output_tokens", "stream_options"]) fields.any(name);
  refuseStored(fields);
  talk.stream = fields.flag("stream") ?? false;
  talk.pointers = {
    output: "/text/format",
    reasoning: "/reasoning",
    parallelTools: "/parallel_tool_calls",
    toolChoice: "/tool_choice",
  };
  readKnobs(fields, talk, { temperature: "temperature", top_p: "topP", user: "user" });
  const instructions = fields.text("instructions");
  if (instructions !== undefined) talk.system.push({ type: "text", text: instructions, pointer: "/instructions" });
  const text = fields.object("text");
  if (text) {
    readKnobs(text, talk, { verbosity: "verbosity" });
    talk.output = outputOf(text.object("format"));
  }
  const reasoning = fields.object("reasoning");
  const effort = reasoning?.text("effort");
  if (effort !== undefined) talk.reasoning = effort === "none" ? { type: "off" } : { type: "effort", effort };
  talk.tools = fields.objects("tools").map(readTool);
  talk.toolChoice = readToolChoice(fields);
  talk.parallelTools = fields.flag("parallel_tool_calls");
  const input = typeof fields.any("input") === "string" ? fields.requiredText("input") : fields.objects("input");
  if (typeof input === "string") addUserParts(talk, [{ type: "text", text: input, pointer: "/input" }]);
  else for (const item of input) readItem(item, talk);
  if (talk.turns.length === 0) throw refusal("/input", "must hold something to answer");
  for (const read of [text, reasoning, fields]) talk.lost.push(...(read?.unread() ?? []));
  return talk;
}

/** What lives at the provider under an id, no other provider has. */
function refuseStored(fields: JsonFields): void {
  for (const name of ["previous_response_id", "conversation", "prompt"])
    if (fields.any(name) !== undefined) throw refusal(`/${name}`, "is not kept for this model; send the whole input");
  if (fields.flag("background") === true) throw refusal("/background", "is not offered with this model");
  // Nothing is kept here, so whether to keep it is no loss.
  fields.flag("store");
}

function readTool(tool: JsonFields): Tool {
  if (tool.requiredText("type") === "function") return functionTool(tool, tool.pointer);
  throw refusal(`${tool.pointer}/type`, "must be function for this model");
}

function readToolChoice(fields: JsonFields): ToolChoice | undefined {
  const choice = fields.any("tool_choice");
  if (choice === undefined || choice === "auto" || choice === "none" || choice === "required") return choice;
  const chosen = typeof choice === "object" ? fields.object("tool_choice") : undefined;
  const name = chosen?.text("name");
  if (chosen?.text("type") === "function" && name !== undefined) return { name };
  throw refusal("/tool_choice", "must be auto, none, required or the name of a function");
}

function outputOf(format: JsonFields | undefined): OutputFormat | undefined {
  const type = format?.requiredText("type");
  if (!format || type === "text") return undefined;
  if (type === "json_object") return { type: "json" };
  if (type === "json_schema") return schemaOutput(format);
  throw refusal(`${format.pointer}/type`, "must be text, json_object or json_schema");
}

function readItem(item: JsonFields, talk: Conversation): void {
  const { pointer } = item;
  item.any("id");
  item.any("status");
  switch (item.text("type") ?? "message") {
    case "message":
      readMessage(item, talk);
      break;
    case "function_call": {
      const input = item.text("arguments") ?? "{}";
      const call = { id: item.requiredText("call_id"), name: item.requiredText("name"), input };
      addAssistantParts(talk, [{ type: "toolCall", ...call, pointer }]);
      break;
    }
    case "function_call_output": {
      const id = item.requiredText("call_id");
      addUserParts(talk, [{ type: "toolResult", id, parts: contentOf(item, "output", talk), failed: false, pointer }]);
      break;
    }
    case "reasoning": {
      const text = [...item.objects("summary"), ...item.objects("content")].map((part) => part.text("text") ?? "").join("\n\n");
      item.any("encrypted_content");
      addAssistantParts(talk, [{ type: "reasoning", text, pointer }]);
      break;
    }
    default:
      throw refusal(`${pointer}/type`, "must be message, function_call, function_call_output or reasoning for this model");
  }
  talk.lost.push(...item.unread());
}

function readMessage(item: JsonFields, talk: Conversation): void {
  const role = item.requiredText("role");
  if (role === "assistant") {
    addAssistantParts(talk, saidBefore(item, talk));
    return;
  }
  const parts = contentOf(item, "content", talk);
  if (role === "user") addUserParts(talk, parts);
  else if (role === "system" || role === "developer")
    for (const part of parts) {
      if (part.type !== "text") throw refusal(part.pointer, "must be a text");
      talk.system.push(part);
    }
  else throw refusal(`${item.pointer}/role`, "must be system, developer, user or assistant");
}

function saidBefore(item: JsonFields, talk: Conversation): AssistantPart[] {
  const content = item.textOrObjects("content") ?? [];
  if (typeof content === "string") return [{ type: "text", text: content, pointer: `${item.pointer}/content` }];
  return content.map((part): AssistantPart => {
    const { pointer } = part;
    if (part.text("type") === "refusal") return { type: "refusal", text: part.requiredText("refusal"), pointer };
    const said = readPart(part, talk);
    if (said.type === "text") return said;
    throw refusal(`${pointer}/type`, "must be output_text or refusal");
  });
}

function contentOf(item: JsonFields, name: string, talk: Conversation): (TextPart | MediaPart)[] {
  const content = item.textOrObjects(name);
  const pointer = `${item.pointer}/${name}`;
  if (content === undefined) throw refusal(pointer, "is required");
  if (typeof content === "string") return [{ type: "text", text: content, pointer }];
  return content.map((part) => readPart(part, talk));
}

function readPart(part: JsonFields, talk: Conversation): TextPart | MediaPart {
  const { pointer } = part;
  const read = (): TextPart | MediaPart => {
    switch (part.requiredText("type")) {
      case "input_text":
      case "output_text":
        // What a model's own text came with; it says nothing to the next.
        for (const name of ["annotations", "logprobs"]) part.any(name);
        return { type: "text", text: part.requiredText("text"), pointer };
      case "input_image": {
        const source = sourceOf(part.requiredText("image_url"), `${pointer}/image_url`);
        return { type: "media", kind: "image", detail: detailOf(part), pointer, ...source };
      }
      case "input_file": {
        const url = part.text("file_url") ?? part.requiredText("file_data");
        return {
          type: "media",
          kind: "document",
          name: part.text("filename"),
          pointer,
          ...sourceOf(url, `${pointer}/file_data`),
        };
      }
      default:
        throw refusal(`${pointer}/type`, "must be input_text, input_image, input_file or output_text for this model");
    }
  };
  const found = read();
  talk.lost.push(...part.unread());
  return found;
}
