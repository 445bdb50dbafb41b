import type { LocalChatPart } from "../local-model.ts";
import { countTokens, endOfTokens, endOfWord } from "./count-tokens.ts";

/**
 * Streams a text word by word, at most `limit` tokens of it, and ends with the counts.
 * @throws the signal's reason as soon as it aborts
 */
export async function* streamWords(
  text: string,
  options: { inputTokens: number; limit: number; signal: AbortSignal },
): AsyncGenerator<LocalChatPart, void, void> {
  const { inputTokens, limit, signal } = options;
  const end = endOfTokens(text, limit);
  for (let at = 0; at < end;) {
    signal.throwIfAborted();
    const next = Math.min(endOfWord(text, at), end);
    yield { kind: "text", text: text.slice(at, next) };
    at = next;
  }
  signal.throwIfAborted();
  const finishReason = end < text.length ? "length" : "stop";
  const outputTokens = end < text.length ? limit : countTokens(text);
  yield { kind: "end", finishReason, inputTokens, outputTokens };
}
