import { Problem } from "@nexus/core";
import { expect, test } from "vitest";
import type { JsonObject } from "../json/members.ts";
import type { StreamOptions } from "./answer.ts";
import { clientDialects, translatorBetween, upstreamFormats } from "./translators.ts";

const options: StreamOptions = { model: "smart", id: "answer_1", created: 1_764_000_000, includeUsage: true };
const request = { model: "upstream-model", maxOutputTokens: 4096 };
const toMessages = translatorBetween("openai-chat", "anthropic-messages");
const toChat = translatorBetween("anthropic-messages", "openai-chat");
const pairs = clientDialects.flatMap((client) => upstreamFormats.map((upstream) => ({ client, upstream })));
const hello = [{ role: "user", content: "Hello" }];
const event = (data: JsonObject) => ({ data: JSON.stringify(data) });

function refused(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof Problem) return error.errors?.[0]?.pointer ?? error.code;
    throw error;
  }
  return undefined;
}

test.each([
  [{ messages: [] }, "/messages"],
  [{ messages: [{ role: "robot", content: "x" }] }, "/messages/0/role"],
  [{ messages: [{ role: "user" }] }, "/messages/0/content"],
  [{ messages: [{ role: "user", content: [{ type: "input_audio", input_audio: {} }] }] }, "/messages/0/content/0/type"],
  [
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:nothing" } }] }] },
    "/messages/0/content/0/image_url/url",
  ],
  [{ messages: hello, temperature: "warm" }, "/temperature"],
  [{ messages: hello, n: 2 }, "/n"],
  [{ messages: hello, stop: [1] }, "/stop/0"],
  [{ messages: hello, tools: [{ type: "web_search" }] }, "/tools/0/type"],
  [{ messages: hello, tool_choice: "perhaps" }, "/tool_choice"],
  [
    { messages: hello, response_format: { type: "json_schema", json_schema: { name: "x" } } },
    "/response_format/json_schema/schema",
  ],
])("what cannot be translated is refused by its field: %j", (body, pointer) => {
  expect(refused(() => toMessages.request(body, request))).toBe(pointer);
});

test("a thought of another provider is not passed off as signed, and thinking without its own is left out", () => {
  const messages = [
    ...hello,
    { role: "assistant", tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }] },
    { role: "tool", tool_call_id: "a", content: "1" },
  ];
  const old = toMessages.request({ messages, reasoning_effort: "low" }, { ...request, model: "claude-sonnet-4-5" });
  expect(old.body["thinking"]).toBeUndefined();
  expect(old.lost).toEqual(["/reasoning_effort"]);
});

test("effort is a budget below the cap for models that count in tokens, and an effort for the others", () => {
  const body = { messages: hello, reasoning_effort: "high", temperature: 0.5 };
  const old = toMessages.request(body, { ...request, model: "claude-opus-4-1-20250805" });
  expect(old.body["thinking"]).toEqual({ type: "enabled", budget_tokens: 4096 - 1024 });
  expect(old.lost).toEqual(["/temperature"]);
  const current = toMessages.request(body, { ...request, model: "claude-opus-4-7" });
  expect(current.body).toMatchObject({ thinking: { type: "adaptive" }, output_config: { effort: "high" } });
});

test("what a generation of Claude refuses is left out and told", () => {
  const body = {
    messages: hello,
    temperature: 0.5,
    top_p: 0.9,
    tools: [{ type: "function", function: { name: "f" } }],
    tool_choice: "required",
  };
  const made = (model: string) => toMessages.request(body, { ...request, model });
  expect(made("claude-sonnet-4-5").lost).toEqual(["/top_p"]);
  expect(made("claude-opus-4-7").lost).toEqual(["/temperature", "/top_p"]);
  expect(made("claude-opus-5-5").lost).toEqual(["/temperature", "/top_p", "/tool_choice"]);
  expect(made("claude-sonnet-4-20250514").body).toMatchObject({ temperature: 0.5, tool_choice: { type: "any" } });
});

test("an effort and a schema are left out and told where the model refuses them", () => {
  const thinking = { model: "x", messages: hello, thinking: { type: "enabled", budget_tokens: 2000 } };
  expect(toChat.request(thinking, { ...request, model: "gpt-4o" }).lost).toEqual(["/thinking"]);
  expect(toChat.request(thinking, { ...request, model: "gpt-5" }).body).toMatchObject({
    reasoning_effort: "low",
    max_completion_tokens: 4096,
  });
  const body = { messages: hello, response_format: { type: "json_schema", json_schema: { name: "x", schema: {} } } };
  expect(toMessages.request(body, { ...request, model: "claude-sonnet-4-20250514" }).lost).toEqual(["/response_format"]);
  expect(toMessages.request(body, { ...request, model: "claude-sonnet-4-5-20250929" }).lost).toEqual([]);
});

test.each([
  ["gemini-2.5-flash", "high", 8192, { thinkingBudget: 4096, includeThoughts: true }],
  ["gemini-2.5-flash", "xhigh", 65_536, { thinkingBudget: 24_576, includeThoughts: true }],
  ["gemini-2.5-flash", "none", 8192, { thinkingBudget: 0 }],
  ["gemini-2.5-flash-lite", "low", 4096, { thinkingBudget: 2048, includeThoughts: true }],
  ["gemini-2.5-flash-lite", "low", 1000, { thinkingBudget: 0 }],
  ["gemini-2.5-pro", "xhigh", 65_536, { thinkingBudget: 32_768, includeThoughts: true }],
  ["gemini-2.5-pro", "none", 8192, { thinkingBudget: 128 }],
  ["gemini-2.5-pro", "low", 200, { thinkingBudget: 128 }],
])("%s gets a budget for thinking that it takes and that leaves room for an answer: %s within %i", (model, effort, cap, sent) => {
  const { body, lost } = translatorBetween("openai-chat", "gemini").request(
    { messages: hello, reasoning_effort: effort },
    { model, maxOutputTokens: cap },
  );
  expect((body["generationConfig"] as JsonObject)["thinkingConfig"]).toEqual(sent);
  const isAsAsked = "includeThoughts" in sent || (effort === "none" && sent.thinkingBudget === 0);
  expect(lost).toEqual(isAsAsked ? [] : ["/reasoning_effort"]);
});

test("a stream whose end tells everything again is given up where that is more than can be kept", () => {
  const stream = translatorBetween("openai-responses", "openai-chat").stream(options);
  const piece = event({ choices: [{ index: 0, delta: { content: "x".repeat(1024 * 1024) } }] });
  for (let count = 0; count < 32; count++) expect(stream.push(piece)).not.toEqual([]);
  expect(() => stream.push(piece)).toThrow(RangeError);
});

test("a call that Google's model spoiled does not look like an answer", () => {
  const toGemini = translatorBetween("openai-chat", "gemini");
  const spoiled = { candidates: [{ finishReason: "MALFORMED_FUNCTION_CALL" }] };
  expect(refused(() => toGemini.answer(spoiled, options))).toBe("upstream_failed");
  const stream = toGemini.stream(options);
  expect(stream.push(event(spoiled)).join("")).toContain('"error"');
  expect(stream.end()).toEqual([]);
});

test("a prompt that Google blocks is an answer that was filtered", () => {
  const blocked = { promptFeedback: { blockReason: "SAFETY" }, usageMetadata: { promptTokenCount: 3 } };
  const answer = translatorBetween("openai-chat", "gemini").answer(blocked, options);
  expect(answer).toMatchObject({
    choices: [{ finish_reason: "content_filter", message: { content: null } }],
    usage: { prompt_tokens: 3 },
  });
});

test.each([
  ["required", { type: "any" }],
  ["none", { type: "none" }],
  [
    { type: "function", function: { name: "f" } },
    { type: "tool", name: "f" },
  ],
])("the choice of tools %j is kept", (choice, kept) => {
  const tools = [{ type: "function", function: { name: "f" } }];
  expect(toMessages.request({ messages: hello, tools, tool_choice: choice }, request).body["tool_choice"]).toEqual(kept);
});

test.each([
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["max_tokens", "length"],
  ["tool_use", "tool_calls"],
  ["refusal", "content_filter"],
])("an answer that ended for %s ends for %s", (reason, told) => {
  const whole = { content: [{ type: "text", text: "x" }], stop_reason: reason, usage: { input_tokens: 1, output_tokens: 1 } };
  expect(toMessages.answer(whole, options)).toMatchObject({ choices: [{ finish_reason: told }] });
  const stream = toMessages.stream(options);
  stream.push(event({ type: "message_delta", delta: { stop_reason: reason } }));
  expect(stream.push(event({ type: "message_stop" })).join("")).toContain(`"finish_reason":"${told}"`);
});

test("an error in the middle of a stream is the last that the client hears", () => {
  const stream = toMessages.stream(options);
  const said = stream.push(event({ type: "error", error: { type: "overloaded_error", message: "Too much." } }));
  expect(said).toEqual([expect.stringMatching(/^data: \{"error":\{"message":"Too much\."/)]);
  expect(stream.push(event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "x" } }))).toEqual([]);
  expect(stream.end()).toEqual([]);
});

test.each(pairs)("$client of $upstream: a stream that breaks off does not look whole", ({ client, upstream }) => {
  const frames = translatorBetween(client, upstream).stream(options).end().join("");
  expect(frames).toContain("before it was whole");
  expect(frames).not.toMatch(/\[DONE\]|message_stop|response\.completed/);
});

test("events and data that nobody knows are passed over", () => {
  const stream = toMessages.stream(options);
  for (const data of ["", "{", "[]", "7", '{"type":"brand_new"}', '{"type":7}']) expect(stream.push({ data })).toEqual([]);
});

test("pieces of tool calls that are mixed with each other end the stream rather than make half a call", () => {
  const stream = toChat.stream(options);
  const call = (index: number, more: JsonObject) => event({ choices: [{ delta: { tool_calls: [{ index, ...more }] } }] });
  stream.push(call(0, { id: "a", function: { name: "f", arguments: '{"x"' } }));
  stream.push(call(1, { id: "b", function: { name: "f", arguments: "{" } }));
  expect(stream.push(call(0, { function: { arguments: ":1}" } })).join("")).toContain("event: error");
  expect(stream.end()).toEqual([]);
});

test("what is no answer is told as the provider's failure", () => {
  for (const { client, upstream } of pairs)
    expect(refused(() => translatorBetween(client, upstream).answer({ html: "<p>" }, options))).toBe("upstream_failed");
});

/** Numbers from 0 up to 1 that are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = Math.trunc(state + 0x6d2b79f5);
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const memberNames =
  "messages role content type text image_url url tool_calls id function name arguments tools parameters tool_choice input instructions source data media_type tool_use_id system stop stop_sequences response_format json_schema schema thinking budget_tokens choices delta index usage finish_reason error message event output item response candidates parts functionCall args promptFeedback usageMetadata output_index call_id summary encrypted_content reasoning effort __proto__ constructor toString".split(
    " ",
  );
const values =
  "user assistant tool system text image tool_use tool_result thinking message_start content_block_start content_block_delta message_delta error function image_url message function_call function_call_output reasoning input_text input_image output_text response.output_text.delta response.output_item.added response.completed auto STOP".split(
    " ",
  );

function arbitrary(random: () => number, depth: number): unknown {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const kind = Math.floor(random() * (depth > 0 ? 9 : 6));
  if (kind < 2) return pick(values);
  if (kind < 6) return pick([null, true, false, 0, -1, 1e308, 0.5, "", "{}", '{"a":1}', "\ud800"]);
  const size = Math.floor(random() * 5);
  if (kind === 6) return Array.from({ length: size }, () => arbitrary(random, depth - 1));
  return JSON.parse(
    `{${Array.from({ length: size }, () => `${JSON.stringify(pick(memberNames))}:${JSON.stringify(arbitrary(random, depth - 1))}`).join(",")}}`,
  );
}

test.each(pairs)("$client to $upstream: any JSON is translated or refused, never a crash", ({ client, upstream }) => {
  const random = seeded(20_261_123);
  const pair = translatorBetween(client, upstream);
  const like = (names: string[]) => Object.fromEntries(names.map((name) => [name, arbitrary(random, 5)]));
  let translated = 0;
  for (let round = 0; round < 3000; round++) {
    const body = like(["messages", "input", "tools", "system", "instructions"].filter(() => random() < 0.6));
    const isPlain = random() < 0.5;
    const asked = isPlain ? { ...body, messages: hello, input: "Hello" } : body;
    if (refused(() => pair.request(asked, request)) === undefined) translated++;
    refused(() => pair.answer(like(["choices", "content", "output", "candidates", "usage"]), options));
    pair.error(500, like(["error", "message"]));
    const stream = pair.stream(options);
    for (let i = 0; i < 6; i++) {
      const data = like(
        ["type", "index", "delta", "choices", "content_block", "item", "candidates", "usage"].filter(() => random() < 0.7),
      );
      const type = random() < 0.6 ? { type: values[Math.floor(random() * values.length)] } : {};
      stream.push(event({ ...data, ...type }));
    }
    stream.end();
  }
  expect(translated).toBeGreaterThan(50);
});
