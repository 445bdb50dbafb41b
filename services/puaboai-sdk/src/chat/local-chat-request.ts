import { type FieldError, Problem } from "@nexus/core";
import { isJsonObject } from "../json/members.ts";
import type { LocalChatRequest, LocalMessage } from "../local-model.ts";
import type { ChatRequest } from "./chat-request.ts";

const roles: Readonly<Record<string, LocalMessage["role"]>> = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
  function: "tool",
};
const mostMessages = 4096;

/**
 * What a model inside the gateway needs of a request. The other fields of the dialect ask for what such a model does not have, and
 * are passed over, but for `n`.
 * @throws Problem `invalid_request` naming every faulty field
 */
export function readLocalChat(request: ChatRequest): LocalChatRequest {
  const body = JSON.parse(request.body.toString()) as Record<string, unknown>;
  const errors: FieldError[] = [];
  if (request.choices > 1) errors.push({ pointer: "/n", detail: "must be 1 for this model" });
  const messages = readMessages(body["messages"], errors);
  if (errors.length > 0) throw new Problem("invalid_request", undefined, { errors: errors.slice(0, 20) });
  return { messages, maximumOutputTokens: request.outputCap };
}

function readMessages(value: unknown, errors: FieldError[]): LocalMessage[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > mostMessages) {
    errors.push({
      pointer: "/messages",
      detail: value === undefined ? "is required" : `must be a list of 1 to ${mostMessages} messages`,
    });
    return [];
  }
  return value.map((message: unknown, index) => {
    const pointer = `/messages/${index}`;
    if (!isJsonObject(message)) {
      errors.push({ pointer, detail: "must be an object" });
      return { role: "user", text: "" };
    }
    const role =
      typeof message["role"] === "string" && Object.hasOwn(roles, message["role"]) ? roles[message["role"]] : undefined;
    if (!role) errors.push({ pointer: `${pointer}/role`, detail: `must be one of ${Object.keys(roles).join(", ")}` });
    const text = textOf(message["content"]);
    if (text === undefined) errors.push({ pointer: `${pointer}/content`, detail: "must be a text or a list of parts" });
    return { role: role ?? "user", text: text ?? "" };
  });
}

/** Parts that are no text (images, sound) say nothing to these models. */
function textOf(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  // An assistant's turn that only called tools has none.
  if (content === null || content === undefined) return "";
  if (!Array.isArray(content)) return undefined;
  const texts: string[] = [];
  for (const part of content as unknown[]) {
    if (!isJsonObject(part)) return undefined;
    if (typeof part["text"] === "string") texts.push(part["text"]);
  }
  return texts.join("\n");
}
