import type { OutputFormat, Tool, ToolChoice } from "../conversation.ts";
import { type JsonFields, refusal } from "../json-fields.ts";

const anything = { type: "object", properties: {} };

export function readChatTools(fields: JsonFields): Tool[] {
  return fields.objects("tools").map((tool) => {
    const { pointer } = tool;
    if (tool.requiredText("type") !== "function") throw refusal(`${pointer}/type`, "must be function for this model");
    const described = tool.object("function");
    if (!described) throw refusal(`${pointer}/function`, "is required");
    return functionTool(described, pointer);
  });
}

/** @param described where name and schema stand: in chat one level below the tool, in responses the tool itself */
export function functionTool(described: JsonFields, pointer: string): Tool {
  return {
    name: described.requiredText("name"),
    description: described.text("description"),
    schema: described.opaque("parameters") ?? anything,
    strict: described.flag("strict"),
    strictPointer: `${described.pointer}/strict`,
    pointer,
  };
}

export function readChatToolChoice(fields: JsonFields): ToolChoice | undefined {
  const choice = fields.any("tool_choice");
  if (choice === undefined || choice === "auto" || choice === "none" || choice === "required") return choice;
  const chosen = typeof choice === "object" ? fields.object("tool_choice") : undefined;
  const name = chosen?.object("function")?.text("name");
  if (chosen?.text("type") !== "function" || name === undefined)
    throw refusal("/tool_choice", "must be auto, none, required or the name of a function");
  return { name };
}

export function readChatOutput(fields: JsonFields): OutputFormat | undefined {
  const format = fields.object("response_format");
  if (!format) return undefined;
  const type = format.requiredText("type");
  if (type === "text") return undefined;
  if (type === "json_object") return { type: "json" };
  const described = format.object("json_schema");
  if (type !== "json_schema" || !described)
    throw refusal("/response_format", "must be text, json_object or json_schema with its schema");
  return schemaOutput(described);
}

/** @param described where name and schema stand */
export function schemaOutput(described: JsonFields): OutputFormat {
  const schema = described.opaque("schema");
  if (!schema) throw refusal(`${described.pointer}/schema`, "is required");
  const description = described.text("description");
  return { type: "schema", name: described.text("name") ?? "response", description, schema, strict: described.flag("strict") };
}
