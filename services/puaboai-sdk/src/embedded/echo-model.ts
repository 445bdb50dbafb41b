import type { LocalChatModel } from "../local-model.ts";
import { countTokens } from "./count-tokens.ts";
import { lastUserText } from "./last-user-text.ts";
import { streamWords } from "./stream-words.ts";

const maximumOutputTokens = 4_096;

/** `embedded-echo`: answers with the last user message, word for word. For tests and for measuring what the gateway adds. */
export const echoModel: LocalChatModel = {
  kind: "chat",
  id: "embedded-echo",
  description: "Repeats the last user message; for tests and latency. Costs nothing.",
  contextTokens: 1_048_576,
  demo: true,
  maximumOutputTokens,
  chat(request, signal) {
    let inputTokens = 0;
    for (const message of request.messages) inputTokens += countTokens(message.text);
    const limit = Math.min(request.maximumOutputTokens ?? maximumOutputTokens, maximumOutputTokens);
    return streamWords(lastUserText(request.messages), { inputTokens, limit, signal });
  },
};
