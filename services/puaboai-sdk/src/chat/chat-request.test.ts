import type { Problem } from "@nexus/core";
import { expect, test } from "vitest";
import { readChatRequest, upstreamChatBody } from "./chat-request.ts";

const read = (text: string) => readChatRequest(Buffer.from(text));
const none = { upstreamModel: "m", asksForUsage: false, outputCap: undefined };

function errorsOf(text: string): Record<string, string> {
  try {
    read(text);
  } catch (error) {
    return Object.fromEntries(((error as Problem).errors ?? []).map((e) => [e.pointer, e.detail]));
  }
  return {};
}

test("what the gateway acts on is read, null counting as absent", () => {
  expect(
    read('{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":5,"max_completion_tokens":9,"n":2}'),
  ).toMatchObject({
    model: "m",
    stream: true,
    wantsUsageFrame: true,
    outputCap: 9,
    choices: 2,
    hasMedia: false,
  });
  expect(read('{"model":"m","stream":null,"stream_options":null,"max_tokens":null,"n":null}')).toMatchObject({
    stream: false,
    wantsUsageFrame: false,
    outputCap: undefined,
    choices: 1,
  });
});

test("every field of a wrong type is named at once", () => {
  expect(
    Object.keys(
      errorsOf('{"model":7,"stream":"yes","max_tokens":1.5,"max_completion_tokens":-1,"n":0,"stream_options":[]}'),
    ).toSorted(),
  ).toStrictEqual(["/max_completion_tokens", "/max_tokens", "/model", "/n", "/stream", "/stream_options"]);
  expect(errorsOf("{}")).toStrictEqual({ "/model": "is required" });
  expect(errorsOf('{"model":"m","stream_options":{"include_usage":1}}')).toHaveProperty("/stream_options/include_usage");
  expect(errorsOf(`{"model":"${"m".repeat(1_000_000)}"}`)).toHaveProperty("/model");
});

test("media are noticed however their name is written", () => {
  expect(read('{"model":"m","messages":[{"content":[{"type":"image_url","Image_URL":{"url":"https://x"}}]}]}').hasMedia).toBe(
    true,
  );
  expect(
    read('{"model":"m","messages":[{"content":[{"type":"image_url","image\\u005furl":{"url":"https://x"}}]}]}').hasMedia,
  ).toBe(true);
});

test("an unchanged request is the client's own buffer", () => {
  const request = read('{"model":"m","stream":true}');
  expect(upstreamChatBody(request, none)).toBe(request.body);
});

test.each([
  ['{"model":"m","stream":true}', '{"stream_options":{"include_usage":true},"model":"m","stream":true}'],
  ['{"stream_options":null,"model":"m","stream":true}', '{"stream_options":{"include_usage":true},"model":"m","stream":true}'],
  ['{"stream_options":{},"model":"m","stream":true}', '{"stream_options":{"include_usage":true},"model":"m","stream":true}'],
  [
    '{"stream_options": { "x":1 , "include_usage":false},"model":"m","stream":true}',
    '{"stream_options": { "x":1 , "include_usage":true},"model":"m","stream":true}',
  ],
  [
    '{"stream_options":{"x":1},"model":"m","stream":true}',
    '{"stream_options":{"include_usage":true,"x":1},"model":"m","stream":true}',
  ],
  [
    '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
  ],
  ['{"model":"m","stream_options":{"x":1}}', '{"model":"m","stream_options":{"x":1}}'],
])("%s is sent as %s when the usage is asked for", (from, to) => {
  expect(upstreamChatBody(read(from), { ...none, asksForUsage: true }).toString()).toBe(to);
});

test.each([
  ['{"model":"m"}', '{"max_tokens":10,"model":"m"}'],
  ['{"model":"m","max_tokens":null}', '{"model":"m","max_tokens":10}'],
  ['{"model":"m","max_tokens":3}', '{"model":"m","max_tokens":3}'],
  ['{"model":"m","max_tokens":11}', '{"model":"m","max_tokens":10}'],
  ['{"model":"m","max_completion_tokens" : 3}', '{"model":"m","max_tokens" : 3}'],
  ['{"model":"m","max\\u005fcompletion_tokens":11}', '{"model":"m","max_tokens":10}'],
  ['{"model":"m","max_completion_tokens":null}', '{"model":"m","max_tokens":10}'],
  ['{"model":"m","max_completion_tokens":3,"max_tokens":null}', '{"model":"m","max_completion_tokens":3,"max_tokens":3}'],
  ['{"model":"m","max_completion_tokens":12,"max_tokens":4}', '{"model":"m","max_completion_tokens":10,"max_tokens":4}'],
  ['{"model":"m","max_completion_tokens":4,"max_tokens":12}', '{"model":"m","max_completion_tokens":4,"max_tokens":10}'],
])("%s goes to a provider of max_tokens, 10 at most, as %s", (from, to) => {
  const outputCap = { field: "max_tokens" as const, tokens: 10 };
  expect(upstreamChatBody(read(from), { ...none, outputCap }).toString()).toBe(to);
});

test("a provider of max_completion_tokens gets the cap there", () => {
  const outputCap = { field: "max_completion_tokens" as const, tokens: 10 };
  expect(upstreamChatBody(read('{"max_tokens":99,"model":"m"}'), { ...none, outputCap }).toString()).toBe(
    '{"max_completion_tokens":10,"model":"m"}',
  );
});
