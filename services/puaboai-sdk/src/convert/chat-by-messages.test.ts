import { Problem } from "@nexus/core";
import { expect, test } from "vitest";
import { chatByMessages } from "./chat-by-messages.ts";
import type { JsonObject } from "./conversion.ts";

const asked = {
  id: "chatcmpl-1",
  created: 1_700_000_000,
  model: "ours",
  wantsUsage: true,
  upstreamModel: "theirs",
  maxOutputTokens: 1000,
};
const convert = (body: JsonObject, wantsUsage = true) =>
  chatByMessages({ ...asked, wantsUsage, body: Buffer.from(JSON.stringify(body)) });
const sent = (body: JsonObject) => JSON.parse(convert(body).body.toString()) as JsonObject;
const tool = {
  type: "function",
  function: { name: "weather", description: "d", parameters: { type: "object", properties: { city: {} } } },
};

test("a whole conversation is carried: system words, images, files, tools and their results", () => {
  const png = "data:image/png;base64,AAAA";
  const body = sent({
    model: "ours",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "developer", content: [{ type: "text", text: "Be kind." }] },
      {
        role: "user",
        content: [
          { type: "text", text: "Look:" },
          { type: "image_url", image_url: { url: png } },
        ],
      },
      { role: "user", content: [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }] },
      {
        role: "assistant",
        content: "",
        tool_calls: [
          { id: "a", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } },
          { id: "b", type: "function", function: { name: "weather", arguments: "" } },
        ],
      },
      { role: "tool", tool_call_id: "a", content: "cold" },
      { role: "tool", tool_call_id: "b", content: [{ type: "text", text: "warm" }] },
      { role: "user", content: [{ type: "file", file: { file_data: "data:application/pdf;base64,BBBB", filename: "x.pdf" } }] },
    ],
    max_completion_tokens: 50,
    temperature: 0.5,
    top_p: 0.9,
    stop: "END",
    user: "u-1",
    tools: [tool],
    tool_choice: "required",
    parallel_tool_calls: false,
    stream: true,
  });
  expect(body).toEqual({
    model: "theirs",
    max_tokens: 50,
    system: [
      { type: "text", text: "Be brief." },
      { type: "text", text: "Be kind." },
    ],
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "Look:" },
          { type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } },
          { type: "image", source: { type: "url", url: "https://example.com/a.png" } },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "tool_use", id: "a", name: "weather", input: { city: "Oslo" } },
          { type: "tool_use", id: "b", name: "weather", input: {} },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "a", content: [{ type: "text", text: "cold" }] },
          { type: "tool_result", tool_use_id: "b", content: [{ type: "text", text: "warm" }] },
          { type: "document", source: { type: "base64", media_type: "application/pdf", data: "BBBB" } },
        ],
      },
    ],
    stream: true,
    temperature: 0.5,
    top_p: 0.9,
    stop_sequences: ["END"],
    metadata: { user_id: "u-1" },
    tools: [{ name: "weather", description: "d", input_schema: { type: "object", properties: { city: {} } } }],
    tool_choice: { type: "any", disable_parallel_tool_use: true },
  });
});

test("a cap is always sent, and none above what the model writes", () => {
  const messages = [{ role: "user", content: "x" }];
  expect(sent({ messages })).toMatchObject({ max_tokens: 1000 });
  expect(sent({ messages, max_tokens: 5000 })).toMatchObject({ max_tokens: 1000 });
});

test("what has no place and can be done without is named", () => {
  const body = {
    messages: [],
    seed: 1,
    logit_bias: {},
    temperature: 1.5,
    odd: true,
    logprobs: null,
    response_format: { type: "json_object" },
  };
  expect(convert(body).lost.toSorted()).toEqual(["/logit_bias", "/odd", "/response_format", "/seed", "/temperature"]);
  expect(sent(body)).toMatchObject({ temperature: 1 });
});

test.each([
  [{ n: 2 }, "/n"],
  [{ audio: {} }, "/audio"],
  [{ functions: [] }, "/functions"],
  [{ messages: "x" }, "/messages"],
  [{ messages: [{ role: "wizard", content: "x" }] }, "/messages/0/role"],
  [{ messages: [{ role: "user", content: [{ type: "input_audio" }] }] }, "/messages/0/content/0"],
  [
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "file:///etc/passwd" } }] }] },
    "/messages/0/content/0",
  ],
  [{ messages: [{ role: "tool", content: "x" }] }, "/messages/0/tool_call_id"],
  [
    { messages: [{ role: "assistant", tool_calls: [{ function: { arguments: "[1]" } }] }] },
    "/messages/0/tool_calls/0/function/arguments",
  ],
  [{ tools: [{ type: "custom" }] }, "/tools/0"],
  [{ tools: [tool], response_format: { type: "json_schema", json_schema: {} } }, "/response_format"],
])("what would change the meaning of the answer is refused by name: %j", (change, pointer) => {
  expect(() => convert({ messages: [], ...change })).toThrow(expect.objectContaining({ code: "invalid_request" }));
  try {
    convert({ messages: [], ...change });
  } catch (error) {
    expect((error as Problem).errors?.map((one) => one.pointer)).toContain(pointer);
  }
});

test("whatever is sent, nothing but a refusal is thrown", () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
  const names = [
    "messages",
    "role",
    "content",
    "type",
    "text",
    "tools",
    "function",
    "arguments",
    "tool_calls",
    "stop",
    "image_url",
    "url",
    "n",
  ];
  const words = [
    "user",
    "assistant",
    "tool",
    "system",
    "text",
    "image_url",
    "function",
    "json_schema",
    "",
    "{",
    "data:a/b;base64,",
  ];
  const value = (depth: number): unknown => {
    const kind = random(depth > 4 ? 4 : 6);
    if (kind === 0) return words[random(words.length)];
    if (kind === 1) return random(5) - 1;
    if (kind === 2) return random(2) === 0;
    if (kind === 3) return null;
    if (kind === 4) return Array.from({ length: random(4) }, () => value(depth + 1));
    return Object.fromEntries(Array.from({ length: random(5) }, () => [names[random(names.length)], value(depth + 1)]));
  };
  for (let n = 0; n < 5000; n++) {
    const body = Object.fromEntries(["messages", "tools", "response_format", "tool_choice"].map((name) => [name, value(0)]));
    try {
      convert(body);
    } catch (error) {
      expect(error).toBeInstanceOf(Problem);
    }
  }
});

const message = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  content: [
    { type: "thinking", thinking: "hm", signature: "s" },
    { type: "text", text: "Hello." },
    { type: "tool_use", id: "t1", name: "weather", input: { city: "Oslo" } },
  ],
  stop_reason: "tool_use",
  usage: { input_tokens: 3, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 5 },
};

test("an answer keeps its words, thoughts, calls and figures", () => {
  const answer = JSON.parse(
    convert({ messages: [] })
      .answer(Buffer.from(JSON.stringify(message)))
      .toString(),
  ) as JsonObject;
  expect(answer).toEqual({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1_700_000_000,
    model: "ours",
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: "Hello.",
          refusal: null,
          reasoning_content: "hm",
          tool_calls: [{ id: "t1", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } }],
        },
        logprobs: null,
        finish_reason: "tool_calls",
      },
    ],
    usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, prompt_tokens_details: { cached_tokens: 4 } },
  });
  expect(() => convert({ messages: [] }).answer(Buffer.from("{}"))).toThrow(TypeError);
});

test("an answer that must fit a schema is asked for as a tool's input, and told as text", () => {
  const body = {
    messages: [],
    response_format: { type: "json_schema", json_schema: { name: "person", schema: { type: "object" } } },
  };
  expect(sent(body)).toMatchObject({
    tools: [{ name: "person", input_schema: { type: "object" } }],
    tool_choice: { type: "tool", name: "person" },
  });
  const given = { ...message, content: [{ type: "tool_use", id: "t", name: "person", input: { age: 1 } }] };
  const answer = JSON.parse(
    convert(body)
      .answer(Buffer.from(JSON.stringify(given)))
      .toString(),
  ) as JsonObject;
  expect(answer["choices"]).toMatchObject([{ message: { content: '{"age":1}' }, finish_reason: "stop" }]);
});

const event = (data: JsonObject): string => `event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`;

test("events become chunks, one for one, with calls numbered and the figures at the end", () => {
  const frames = [
    { type: "message_start", message: { usage: { input_tokens: 3, output_tokens: 1 } } },
    { type: "ping" },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hi" } },
    { type: "content_block_stop", index: 0 },
    ...["a", "b"].flatMap((id, n) => [
      { type: "content_block_start", index: n + 1, content_block: { type: "tool_use", id, name: "weather", input: {} } },
      { type: "content_block_delta", index: n + 1, delta: { type: "input_json_delta", partial_json: `{"n":${n}}` } },
    ]),
    { type: "something_new" },
    { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 9 } },
    { type: "message_stop" },
  ];
  const told = (wantsUsage: boolean): string => {
    const conversion = convert({ messages: [] }, wantsUsage);
    return frames.map((one) => conversion.frames(Buffer.from(event(one)))?.toString() ?? "").join("");
  };
  const chunks = told(true)
    .split("\n\n")
    .filter((frame) => frame.startsWith("data: {"))
    .map(
      (frame) =>
        JSON.parse(frame.slice("data: ".length)) as { choices: { delta: object; finish_reason: unknown }[]; usage: unknown },
    );
  expect(chunks.map(({ choices: [choice] }) => choice && [choice.delta, choice.finish_reason])).toEqual([
    [{ role: "assistant", content: "", refusal: null }, null],
    [{ content: "Hi" }, null],
    [{ tool_calls: [{ index: 0, id: "a", type: "function", function: { name: "weather", arguments: "" } }] }, null],
    [{ tool_calls: [{ index: 0, function: { arguments: '{"n":0}' } }] }, null],
    [{ tool_calls: [{ index: 1, id: "b", type: "function", function: { name: "weather", arguments: "" } }] }, null],
    [{ tool_calls: [{ index: 1, function: { arguments: '{"n":1}' } }] }, null],
    [{}, "tool_calls"],
    undefined,
  ]);
  expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 9, total_tokens: 12 });
  expect(told(true)).toMatch(/data: \[DONE\]\n\n$/);
  expect(told(false)).not.toContain("usage");
  // However many frames come at once.
  const whole = convert({ messages: [] }).frames(Buffer.from(frames.map(event).join("")));
  expect(whole?.toString()).toBe(told(true));
});

test("an error in the middle of a stream is told in the client's shape", () => {
  const frames = convert({ messages: [] }).frames(
    Buffer.from(event({ type: "error", error: { type: "overloaded_error", message: "later" } })),
  );
  expect(JSON.parse(frames!.toString().slice("data: ".length))).toMatchObject({
    error: { message: "later", code: "overloaded_error" },
  });
});
