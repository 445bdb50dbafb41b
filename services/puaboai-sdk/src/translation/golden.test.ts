import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { JsonObject } from "../json/members.ts";
import type { SseEvent } from "./answer.ts";
import { type ClientDialectName, translatorBetween, type UpstreamFormatName } from "./translators.ts";

interface UpstreamAnswers {
  whole: JsonObject;
  stream: SseEvent[];
  error: JsonObject;
}

const pairs: [ClientDialectName, UpstreamFormatName][] = [
  ["openai-chat", "anthropic-messages"],
  ["anthropic-messages", "openai-chat"],
  ["openai-responses", "openai-chat"],
  ["openai-chat", "openai-responses"],
  ["openai-responses", "anthropic-messages"],
  ["anthropic-messages", "openai-responses"],
  ["openai-chat", "gemini"],
  ["anthropic-messages", "gemini"],
  ["openai-responses", "gemini"],
  ["openai-chat", "bedrock-converse"],
  ["anthropic-messages", "bedrock-converse"],
  ["openai-responses", "bedrock-converse"],
];
const names = { model: "smart", id: "answer_1", created: 1_764_000_000 };

/** What a pair makes of the client's request and the upstream's answers that stand in `golden/`. */
function translated(client: ClientDialectName, upstream: UpstreamFormatName): JsonObject {
  const pair = translatorBetween(client, upstream);
  const request = golden(`${client}.request`);
  const answers = golden(`${upstream}.answer`) as unknown as UpstreamAnswers;
  const stream = pair.stream({ ...names, includeUsage: true });
  const pushed = answers.stream.flatMap((event) => stream.push(event));
  return {
    request: pair.request(upstream === "bedrock-converse" ? withoutAddresses(request) : request, {
      model: "upstream-model",
      maxOutputTokens: 4096,
    }),
    answer: pair.answer(answers.whole, names),
    stream: [...pushed, ...stream.end()].map((frame) => frame.trimEnd().split("\n")),
    error: pair.error(429, answers.error),
  };
}

/** Bedrock fetches no picture: only those that stand in the request are left. */
function withoutAddresses(request: JsonObject): JsonObject {
  const isFetched = (part: unknown): boolean => JSON.stringify(part).includes('"https://pictures.example/');
  const parts = (_: string, value: unknown): unknown => (Array.isArray(value) ? value.filter((part) => !isFetched(part)) : value);
  return JSON.parse(JSON.stringify(request), parts) as JsonObject;
}

function golden(name: string): JsonObject {
  return JSON.parse(readFileSync(new URL(`golden/${name}.json`, import.meta.url), "utf8")) as JsonObject;
}

describe.each(pairs)("%s to %s", (client, upstream) => {
  const made = translated(client, upstream);
  test.each(["request", "answer", "stream", "error"])("the %s is the one on file", (part) => {
    expect(made[part]).toEqual(golden(`${client}-to-${upstream}`)[part]);
  });
});
