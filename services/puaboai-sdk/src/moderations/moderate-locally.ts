/** A moderation by a model inside the gateway, in OpenAI's form (https://platform.openai.com/docs/api-reference/moderations/object). */
import { Problem } from "@nexus/core";
import { answerWholeLocally } from "../calls/answer-whole-locally.ts";
import type { Exchange } from "../calls/exchange.ts";
import { asModerationModel, type EmbeddedModel } from "../catalogue/catalogue.ts";
import { memberOf, textOf } from "../json/members.ts";

/** All kinds of the form: a client's type wants each, whatever a model looks for. */
const categories = [
  "harassment",
  "harassment/threatening",
  "hate",
  "hate/threatening",
  "illicit",
  "illicit/violent",
  "self-harm",
  "self-harm/intent",
  "self-harm/instructions",
  "sexual",
  "sexual/minors",
  "violence",
  "violence/graphic",
] as const;

interface LocalCall extends Exchange {
  model: EmbeddedModel;
  body: Buffer;
}

/** Resolves when the client has its answer or is gone. @throws Problem `invalid_request`, or the model's */
export async function moderateLocally({ body, ...call }: LocalCall): Promise<void> {
  const inputs = inputsOf(JSON.parse(body.toString()));
  await answerWholeLocally(call, async (signal) => {
    const { scores, inputTokens } = await asModerationModel(call.model.local).moderate(inputs, signal);
    const id = `modr-${call.ledger.requestId.slice("req_".length)}`;
    return { body: { id, model: call.model.id, results: scores.map((found) => resultOf(found)) }, inputTokens };
  });
}

function resultOf(scores: Readonly<Record<string, number>>) {
  const of = <T>(read: (category: string) => T): Record<string, T> =>
    Object.fromEntries(categories.map((category) => [category, read(category)]));
  const flags = of((category) => (scores[category] ?? 0) >= 0.5);
  return {
    flagged: Object.values(flags).includes(true),
    categories: flags,
    category_scores: of((category) => scores[category] ?? 0),
    category_applied_input_types: of((category) => (category in scores ? ["text"] : [])),
  };
}

/** A text, texts that are judged one by one, or the parts of one input. */
function inputsOf(request: unknown): string[] {
  const input = memberOf(request, "input");
  if (input === undefined) throw refused("/input", "is required");
  if (typeof input === "string") return [input];
  if (!Array.isArray(input) || input.length === 0) throw refused("/input", "must be a text or a list of texts or of parts");
  const items: unknown[] = input;
  if (items.every((item) => typeof item === "string")) return items;
  return [items.map((item, index) => partOf(item, `/input/${index}`)).join("\n")];
}

function partOf(item: unknown, pointer: string): string {
  const text = memberOf(item, "type") === "text" ? textOf(item, "text") : undefined;
  if (text === undefined) throw refused(pointer, "must be a part with a text: this model reads nothing else");
  return text;
}

function refused(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", undefined, { errors: [{ pointer, detail }] });
}
