import type { LocalMessage } from "../local-model.ts";

/** The text of the last user message; empty when there is none. */
export function lastUserText(messages: readonly LocalMessage[]): string {
  return messages.findLast((message) => message.role === "user")?.text ?? "";
}
