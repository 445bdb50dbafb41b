import type { LocalChatModel, LocalChatPart, LocalChatRequest } from "../local-model.ts";
import { composeAnswer } from "./compose-answer.ts";
import { countTokens } from "./count-tokens.ts";
import type { ModelThread } from "./model-thread.ts";
import { streamWords } from "./stream-words.ts";

const maximumOutputTokens = 2_048;
/** A question is a few sentences; of a longer message the end is read, where people put the question. */
const longestQuestion = 2_000;

/** `embedded-guide`: answers questions about this product by quoting its documentation. Not a language model. */
export function guideModel(thread: ModelThread): LocalChatModel {
  return {
    kind: "chat",
    id: "embedded-guide",
    description: "Answers questions about Nexus COS by quoting its documentation; a demonstration, not a language model.",
    contextTokens: 1_048_576,
    demo: true,
    maximumOutputTokens,
    chat: (request, signal) => answerQuestion(thread, request, signal),
  };
}

async function* answerQuestion(
  thread: ModelThread,
  request: LocalChatRequest,
  signal: AbortSignal,
): AsyncGenerator<LocalChatPart, void, void> {
  const said = request.messages
    .filter((message) => message.role === "user")
    .map((message) => message.text.slice(-longestQuestion));
  const text = said.at(-1) ?? "";
  const findings = await thread.search({ text, before: said.at(-2) ?? "", limit: 3 }, signal);
  let inputTokens = 0;
  for (const message of request.messages) inputTokens += countTokens(message.text);
  const limit = Math.min(request.maximumOutputTokens ?? maximumOutputTokens, maximumOutputTokens);
  yield* streamWords(composeAnswer(text, findings), { inputTokens, limit, signal });
}
