/**
 * An OpenAI chat request as an Anthropic Messages request (https://docs.anthropic.com/en/api/messages). What Anthropic has no place
 * for and an answer can do without is named; what would change the answer's meaning is refused.
 */
import { type FieldError, Problem } from "@nexus/core";
import { isJsonObject, type JsonObject, objectsOf, textOf } from "./conversion.ts";

interface Converted {
  body: JsonObject;
  lost: string[];
  /** The answer is asked for as the input of a tool of this name: structured output. */
  answerTool: string | undefined;
}

interface Target {
  upstreamModel: string;
  /** The cap where the client named none. */
  maxOutputTokens: number;
}

const answerToolName = "answer";
/** Members that have a place in the other format. */
const carried = new Set(
  "model messages stream stream_options max_tokens max_completion_tokens temperature top_p stop tools tool_choice parallel_tool_calls response_format user n".split(
    " ",
  ),
);
const refused: Readonly<Record<string, string>> = {
  audio: "models behind this route answer no sound",
  functions: "is the old name of tools, which this route takes",
  function_call: "is the old name of tool_choice, which this route takes",
};

/** @throws Problem `invalid_request` naming the fields that the other format cannot carry */
export function convertChatRequest(request: JsonObject, { upstreamModel, maxOutputTokens }: Target): Converted {
  const faults: FieldError[] = [];
  for (const [name, detail] of Object.entries(refused)) if (isGiven(request[name])) faults.push({ pointer: `/${name}`, detail });
  if (isGiven(request["n"]) && request["n"] !== 1) faults.push({ pointer: "/n", detail: "must be 1 for this model" });
  if (!Array.isArray(request["messages"])) faults.push({ pointer: "/messages", detail: "must be a list" });
  const lost = Object.keys(request).flatMap((name) => (carried.has(name) || !isGiven(request[name]) ? [] : [`/${name}`]));
  const { system, messages } = convertMessages(objectsOf(request["messages"]), faults);
  const tools = convertTools(request, { faults, lost });
  const cap = [request["max_completion_tokens"], request["max_tokens"]].find((value) => typeof value === "number");
  const temperature = numberOf(request["temperature"]);
  if (temperature !== undefined && temperature > 1) lost.push("/temperature");
  const user = textOf(request["user"]);
  if (faults.length > 0) throw new Problem("invalid_request", undefined, { errors: faults });
  return {
    lost,
    answerTool: tools.answerTool,
    body: defined({
      model: upstreamModel,
      max_tokens: Math.min(cap ?? maxOutputTokens, maxOutputTokens),
      system: system.length > 0 ? system : undefined,
      messages,
      stream: request["stream"] === true ? true : undefined,
      temperature: temperature === undefined ? undefined : Math.min(temperature, 1),
      top_p: numberOf(request["top_p"]),
      stop_sequences: stopsOf(request["stop"]),
      metadata: user === undefined ? undefined : { user_id: user },
      tools: tools.tools,
      tool_choice: tools.choice,
    }),
  };
}

/** System words stand apart there; results of tools are the user's, all of one turn in one message. */
function convertMessages(given: readonly JsonObject[], faults: FieldError[]): { system: JsonObject[]; messages: JsonObject[] } {
  const system: JsonObject[] = [];
  const messages: { role: string; content: JsonObject[] }[] = [];
  for (const [index, message] of given.entries()) {
    const at = { pointer: `/messages/${index}`, faults };
    const role = textOf(message["role"]);
    if (role === "system" || role === "developer") {
      system.push(...partsOf(message["content"], at));
      continue;
    }
    const content =
      role === "tool" ? [toolResult(message, at)] : role === "assistant" ? spokenBy(message, at) : heardFrom(message, at);
    if (role !== "user" && role !== "assistant" && role !== "tool")
      faults.push({ pointer: `${at.pointer}/role`, detail: "must be system, developer, user, assistant or tool" });
    const side = role === "assistant" ? "assistant" : "user";
    const last = messages.at(-1);
    if (last?.role === side) last.content.push(...content);
    else messages.push({ role: side, content });
  }
  return { system, messages };
}

interface Place {
  pointer: string;
  faults: FieldError[];
}

function heardFrom(message: JsonObject, at: Place): JsonObject[] {
  return partsOf(message["content"], at);
}

function spokenBy(message: JsonObject, at: Place): JsonObject[] {
  const text = isGiven(message["content"]) ? partsOf(message["content"], at) : [];
  const calls = objectsOf(message["tool_calls"]).map((call, index) => {
    const called = isJsonObject(call["function"]) ? call["function"] : {};
    return {
      type: "tool_use",
      id: call["id"],
      name: called["name"],
      input: argumentsOf(called["arguments"], { ...at, pointer: `${at.pointer}/tool_calls/${index}/function/arguments` }),
    };
  });
  return [...text.filter((part) => part["text"] !== ""), ...calls];
}

function toolResult(message: JsonObject, at: Place): JsonObject {
  if (textOf(message["tool_call_id"]) === undefined)
    at.faults.push({ pointer: `${at.pointer}/tool_call_id`, detail: "is required" });
  return { type: "tool_result", tool_use_id: message["tool_call_id"], content: partsOf(message["content"], at) };
}

function argumentsOf(text: unknown, at: Place): JsonObject {
  try {
    const input: unknown = text === "" || text === undefined ? {} : JSON.parse(textOf(text) ?? "");
    if (isJsonObject(input)) return input;
  } catch {
    // Told below.
  }
  at.faults.push({ pointer: at.pointer, detail: "must be the text of a JSON object" });
  return {};
}

function partsOf(content: unknown, at: Place): JsonObject[] {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return objectsOf(content).map((part, index) => partOf(part, { ...at, pointer: `${at.pointer}/content/${index}` }));
}

function partOf(part: JsonObject, at: Place): JsonObject {
  const { type } = part;
  if (type === "text" || type === "refusal") return { type: "text", text: part["text"] ?? part["refusal"] };
  if (type === "image_url" && isJsonObject(part["image_url"]))
    return { type: "image", source: sourceOf(part["image_url"]["url"], at) };
  if (type === "file" && isJsonObject(part["file"]) && textOf(part["file"]["file_data"]) !== undefined)
    return { type: "document", source: sourceOf(part["file"]["file_data"], at) };
  at.faults.push({ pointer: at.pointer, detail: "is of a type that this model does not take" });
  return {};
}

/** A data URL (RFC 2397) or an address. */
function sourceOf(url: unknown, at: Place): JsonObject {
  const text = textOf(url) ?? "";
  const data = /^data:([\w.+-]+\/[\w.+-]+);base64,/.exec(text);
  if (data) return { type: "base64", media_type: data[1], data: text.slice(data[0].length) };
  if (/^https?:\/\//.test(text)) return { type: "url", url: text };
  at.faults.push({ pointer: at.pointer, detail: "must hold a data: URL in base64 or an https address" });
  return {};
}

interface Tools {
  tools: JsonObject[] | undefined;
  choice: JsonObject | undefined;
  answerTool: string | undefined;
}

function convertTools(request: JsonObject, { faults, lost }: { faults: FieldError[]; lost: string[] }): Tools {
  const tools = objectsOf(request["tools"]).map((tool, index): JsonObject => {
    const declared = tool["function"];
    if (tool["type"] !== "function" || !isJsonObject(declared)) {
      faults.push({ pointer: `/tools/${index}`, detail: "must be a function" });
      return {};
    }
    if (declared["strict"] === true) lost.push(`/tools/${index}/function/strict`);
    const schema = declared["parameters"] ?? { type: "object", properties: {} };
    return defined({ name: declared["name"], description: declared["description"], input_schema: schema });
  });
  const format = request["response_format"];
  const type = isJsonObject(format) ? format["type"] : undefined;
  if (type === "json_object") lost.push("/response_format");
  if (type === "json_schema" && isJsonObject(format)) {
    if (tools.length === 0) return answerTool(format);
    faults.push({ pointer: "/response_format", detail: "cannot be had together with tools for this model" });
  }
  const choice = choiceOf(request);
  return { tools: tools.length > 0 ? tools : undefined, choice: tools.length > 0 ? choice : undefined, answerTool: undefined };
}

/** Every model of that API calls tools, and not all of them take a schema for their answer. */
function answerTool(format: JsonObject): Tools {
  const declared = isJsonObject(format["json_schema"]) ? format["json_schema"] : {};
  const name = textOf(declared["name"]) ?? answerToolName;
  const description = textOf(declared["description"]) ?? "Gives the answer.";
  const schema = declared["schema"] ?? { type: "object" };
  return {
    tools: [{ name, description, input_schema: schema }],
    choice: { type: "tool", name, disable_parallel_tool_use: true },
    answerTool: name,
  };
}

function choiceOf(request: JsonObject): JsonObject | undefined {
  const asked = request["tool_choice"];
  const named = isJsonObject(asked) && isJsonObject(asked["function"]) ? asked["function"]["name"] : undefined;
  const oneAtATime = request["parallel_tool_calls"] === false ? { disable_parallel_tool_use: true } : {};
  if (named !== undefined) return { type: "tool", name: named, ...oneAtATime };
  if (asked === "none") return { type: "none" };
  if (asked === "required") return { type: "any", ...oneAtATime };
  return asked === "auto" || request["parallel_tool_calls"] === false ? { type: "auto", ...oneAtATime } : undefined;
}

function stopsOf(stop: unknown): string[] | undefined {
  const stops = (Array.isArray(stop) ? stop : [stop]).filter((one): one is string => typeof one === "string");
  return stops.length > 0 ? stops : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function defined(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
