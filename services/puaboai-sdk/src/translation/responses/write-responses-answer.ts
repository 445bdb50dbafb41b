/** OpenAI's whole Responses answers (https://platform.openai.com/docs/api-reference/responses/object). */
import type { JsonObject } from "../../json/members.ts";
import type { TokenUsage } from "../../usage/token-usage.ts";
import type { Answer, AnswerOptions, AnswerPart, FinishReason } from "../answer.ts";

export function writeResponsesAnswer({ parts, finish, usage }: Answer, options: AnswerOptions): JsonObject {
  return responseObject(options, {
    ...stateOf(finish),
    output: itemsOf(parts, options.id),
    usage: usage && responsesUsage(usage),
  });
}

/** What the client did not hear from us stands at its default: the request is not at hand when the answer is made. */
export function responseObject(
  { id, created, model }: AnswerOptions,
  state: { status: string; incomplete?: JsonObject | null; output: JsonObject[]; usage?: JsonObject | undefined },
): JsonObject {
  return {
    id,
    object: "response",
    created_at: created,
    status: state.status,
    background: false,
    error: null,
    incomplete_details: state.incomplete ?? null,
    instructions: null,
    max_output_tokens: null,
    metadata: {},
    model,
    output: state.output,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: false,
    temperature: null,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: [],
    top_p: null,
    truncation: "disabled",
    usage: state.usage ?? null,
    user: null,
  };
}

export function stateOf(finish: FinishReason): { status: string; incomplete: JsonObject | null } {
  if (finish === "length") return { status: "incomplete", incomplete: { reason: "max_output_tokens" } };
  if (finish === "filtered") return { status: "incomplete", incomplete: { reason: "content_filter" } };
  return { status: "completed", incomplete: null };
}

export function responsesUsage(usage: TokenUsage): JsonObject {
  return {
    input_tokens: usage.input,
    input_tokens_details: { cached_tokens: usage.cachedInput },
    output_tokens: usage.output,
    output_tokens_details: { reasoning_tokens: usage.reasoning },
    total_tokens: usage.input + usage.output,
  };
}

export type ItemKind = "message" | "reasoning" | "function_call";

/** Items are named after the answer, so that the same answer gives the same names. */
export function itemId(kind: ItemKind, answerId: string, index: number): string {
  const prefixes = { message: "msg", reasoning: "rs", function_call: "fc" };
  return `${prefixes[kind]}_${answerId}_${index}`;
}

/** Texts and refusals that follow each other are one message. */
function itemsOf(parts: AnswerPart[], answerId: string): JsonObject[] {
  const items: JsonObject[] = [];
  let content: JsonObject[] | undefined;
  for (const part of parts) {
    if (part.type === "text" || part.type === "refusal") {
      if (!content) {
        content = [];
        items.push({ id: itemId("message", answerId, items.length), ...messageItem(content, "completed") });
      }
      content.push(part.type === "text" ? textPart(part.text) : { type: "refusal", refusal: part.text });
      continue;
    }
    content = undefined;
    if (part.type === "toolCall")
      items.push({ id: itemId("function_call", answerId, items.length), ...callItem(part, "completed") });
    else if (part.redacted === undefined)
      items.push({ id: itemId("reasoning", answerId, items.length), ...reasoningItem(part.text) });
  }
  return items;
}

export function textPart(text: string): JsonObject {
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

export function messageItem(content: JsonObject[], status: string): JsonObject {
  return { type: "message", role: "assistant", status, content };
}

export function callItem({ id, name, input }: { id: string; name: string; input: string }, status: string): JsonObject {
  return { type: "function_call", status, call_id: id, name, arguments: input };
}

export function reasoningItem(text: string | undefined): JsonObject {
  return { type: "reasoning", summary: text === undefined ? [] : [{ type: "summary_text", text }] };
}
