/**
 * Providers that lie: whatever bytes they send, the client gets an answer, an error or the end of a stream in its own dialect, the
 * call is accounted for with the reason, and nothing of it stays behind.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { loadConfig } from "@nexus/config";
import { uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import {
  captureLogs,
  chatAnswer,
  chatStream,
  fakeUsage,
  type GatewayScene,
  type LyingScript,
  type LyingUpstream,
  messagesAnswer,
  openGatewayScene,
  type ReceivedRequest,
  responsesAnswer,
  startLyingUpstream,
  type UpstreamScript,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "./service.ts";

let scene: GatewayScene;
let upstream: LyingUpstream;
let gateway: RunningService;
let key: { key: string; organizationId: string };
const logs = captureLogs();

type Format = "chat" | "responses" | "messages";
/** Google's own format no client speaks. */
type Spoken = Format | "gemini";
const formats: Format[] = ["chat", "responses", "messages"];
const spoken: Spoken[] = [...formats, "gemini"];
const paths = { chat: "/v1/chat/completions", responses: "/v1/responses", messages: "/v1/messages" };

beforeAll(async () => {
  [scene, upstream] = await Promise.all([openGatewayScene(), startLyingUpstream()]);
  const price = 'price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }';
  const provider = `base_url: "${upstream.baseUrl}", allow_private_network: true, breaker_failures: 0`;
  const deadlines = "first_byte_timeout_ms: 300, idle_timeout_ms: 300, total_timeout_ms: 900";
  const yaml = `
providers:
  chat: { ${provider}, ${deadlines}, wire_formats: [openai-chat] }
  responses: { ${provider}, ${deadlines}, wire_formats: [openai-responses] }
  messages: { ${provider}, ${deadlines}, wire_formats: [anthropic-messages] }
  gemini: { ${provider}, ${deadlines}, wire_formats: [gemini] }
  lasting: { ${provider}, wire_formats: [openai-chat] }
  tls: { ${provider.replace("http:", "https:")}, ${deadlines}, connect_timeout_ms: 300 }
models:
  - { id: chat, provider: chat, kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price} }
  - { id: responses, provider: responses, kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price} }
  - { id: gemini, provider: gemini, kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price} }
  - { id: precious, provider: chat, kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price.replace('"10"', '"1000000"')} }
  - { id: lasting, provider: lasting, kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price} }
  - { id: tls, provider: tls, kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price} }
  - { id: messages, provider: messages, kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price} }
`;
  const routed = `${yaml}
routes:
  either: { targets: [chat, messages] }
`;
  const env = { ...scene.environment, PORT: "1", NEXUS_GATEWAY_CONFIG: scene.writeSettings(routed) };
  const config = { ...loadConfig(configSchema, env, configRules), PORT: 0 };
  const logger = createLogger({ service: "puaboai-sdk", level: "info", destination: logs.stream });
  gateway = await startService(config, { logger });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
  await scene.close();
});
beforeEach(async () => {
  // An overrun freezes a budget: each test has its own.
  key = await scene.issueKey({ budgetNanos: 10n ** 15n });
});

/** What a well-behaved provider sends: the body of a whole answer, or the frames of a stream. */
async function honest(format: Spoken, stream: boolean, usage?: object | null): Promise<string[]> {
  const told = usage === undefined ? {} : { usage };
  const script: Record<Spoken, UpstreamScript> = {
    chat: stream ? chatStream({ usage: usage === null ? "never" : "always" }) : chatAnswer(told),
    gemini: geminiAnswer(stream, usage),
    responses: responsesAnswer({ stream, ...told }),
    messages: messagesAnswer({ stream, ...told }),
  };
  const pieces: string[] = [];
  const write = (text?: string) => {
    if (text !== undefined) pieces.push(text);
    return response;
  };
  const response = { destroyed: false, writeHead: () => response, write, end: write } as unknown as ServerResponse;
  await script[format](response, { body: Buffer.alloc(0) } as ReceivedRequest);
  return pieces;
}

function geminiAnswer(
  stream: boolean,
  usage: object | null = { promptTokenCount: 8, candidatesTokenCount: 5, totalTokenCount: 13 },
): UpstreamScript {
  const answer = (text: string, finishReason?: string) => {
    const candidate = { content: { role: "model", parts: [{ text }] }, index: 0, ...(finishReason ? { finishReason } : {}) };
    return JSON.stringify({ candidates: [candidate], ...(usage ? { usageMetadata: usage } : {}), modelVersion: "fake-model" });
  };
  return (response) => {
    if (!stream) response.write(answer("hello", "STOP"));
    else
      for (const [text, reason] of [["hel"], ["lo"], ["", "STOP"]] as const) response.write(`data: ${answer(text, reason)}\n\n`);
  };
}

const streamHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const chunk = (text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text as string);
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
};
const lastChunk = "0\r\n\r\n";
const wholeAnswer = (body: string | Buffer, more = "", status = "200 OK"): Buffer =>
  Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${more}\r\n`,
    ),
    Buffer.from(body as string),
  ]);
/** A stream of these pieces, with its proper end. */
const streamOf =
  (pieces: readonly (string | Buffer)[]): LyingScript =>
  (socket) => {
    socket.write(Buffer.concat([Buffer.from(streamHead), ...pieces.map((piece) => chunk(piece)), Buffer.from(lastChunk)]));
  };
const bytesOf =
  (bytes: string | Buffer): LyingScript =>
  (socket) =>
    void socket.write(bytes);

interface Heard {
  status: number;
  /** What the client reads of it in its dialect. */
  text: string;
  /** The stream's own end came. */
  isWhole: boolean;
  /** The code of the error, of the answer or in the stream. */
  error: string | undefined;
  requestId: string;
  raw: string;
}

/** Calls the model as a client of `format` would, and holds every byte that comes to that format. */
async function call(format: Format, model: string, stream: boolean): Promise<Heard> {
  const messages = [{ role: "user", content: "hello" }];
  const asked = {
    chat: { messages, max_tokens: 50 },
    messages: { messages, max_tokens: 50 },
    responses: { input: "hello", max_output_tokens: 50 },
  };
  const answer = await fetch(gateway.url + paths[format], {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key.key}` },
    body: JSON.stringify({ model, stream, ...asked[format] }),
    signal: AbortSignal.timeout(8000),
  });
  const raw = await answer.text();
  const heard = { status: answer.status, requestId: answer.headers.get("x-request-id")!, raw };
  const isStream = answer.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
  expect(isStream, raw.slice(0, 500)).toBe(stream && answer.status === 200);
  return { ...heard, ...(isStream ? readStream(format, raw) : readAnswer(format, answer.status, raw)) };
}

type Document = Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- what clients read of three formats

function readAnswer(format: Format, status: number, raw: string): Pick<Heard, "text" | "isWhole" | "error"> {
  const body = JSON.parse(raw) as Document;
  if (status >= 400) {
    expect(body["error"]?.message, raw).toBeTypeOf("string");
    if (format === "messages") expect(body["type"]).toBe("error");
    return { text: "", isWhole: false, error: body["error"].code ?? body["error"].type };
  }
  const text = {
    chat: body["choices"]?.[0]?.message.content,
    messages: body["content"]?.[0]?.text,
    responses: body["output"]?.[0]?.content[0].text,
  }[format];
  expect(text, raw).toBeTypeOf("string");
  return { text, isWhole: true, error: undefined };
}

/** Every frame must be one that the format's clients can read, and nothing may follow the end or an error. */
function readStream(format: Format, raw: string): Pick<Heard, "text" | "isWhole" | "error"> {
  const found = { text: "", isWhole: false, error: undefined as string | undefined };
  expect(raw === "" || /\n\r?\n$/.test(raw), `ends between frames: ${raw.slice(-200)}`).toBe(true);
  for (const frame of raw.split(/\r?\n\r?\n/)) {
    const data = frame.split(/\r?\n/).flatMap((line) => (line.startsWith("data:") ? [line.slice(5).trim()] : []));
    if (data.length === 0) continue;
    expect(found.isWhole || found.error !== undefined, `after the end: ${frame.slice(0, 200)}`).toBe(false);
    if (data[0] === "[DONE]") {
      found.isWhole = true;
      continue;
    }
    const event = JSON.parse(data.join("\n")) as Document;
    if (format === "chat") {
      found.text += event["choices"]?.[0]?.delta?.content ?? "";
      if (event["error"]) found.error = event["error"].code;
    } else {
      if (event["type"] === "content_block_delta") found.text += event["delta"].text;
      if (event["type"] === "response.output_text.delta") found.text += event["delta"];
      if (["message_stop", "response.completed", "response.incomplete", "response.failed"].includes(event["type"] as string))
        found.isWhole = true;
      if (event["type"] === "error") found.error = event["code"] ?? event["error"].code;
    }
  }
  return found;
}

/** The row that stands for the call, once it is in the database. */
async function rowOf({ requestId }: Pick<Heard, "requestId">) {
  return await waitFor(
    async () =>
      await scene.owner.db
        .selectFrom("usage_events")
        .selectAll()
        .where("request_id", "=", uuidOf("request", requestId)!)
        .executeTakeFirst(),
  );
}

const pairs = formats.flatMap((client) => spoken.map((model): [Format, Spoken] => [client, model]));
const alike = formats.map((format): [Format, Format] => [format, format]);

describe.each(pairs)("a client of %s on a provider of %s", (client, model) => {
  test("an honest answer, whole and streamed, is charged as the provider says", async () => {
    upstream.answerWith(bytesOf(wholeAnswer((await honest(model, false)).join(""))));
    const whole = await call(client, model, false);
    expect(whole).toMatchObject({ status: 200, isWhole: true });
    upstream.answerWith(streamOf(await honest(model, true)));
    const streamed = await call(client, model, true);
    expect(streamed, streamed.raw).toMatchObject({ status: 200, text: "hello", isWhole: true, error: undefined });
    for (const heard of [whole, streamed]) {
      expect(await rowOf(heard)).toMatchObject({ outcome: "ok", usage_source: "provider", error_code: null });
    }
  });

  test("frames torn at every byte are whole again, also inside of a character and of a line's end", async () => {
    const crlf = (await honest(model, true)).join("").replace("hel", "h€l").replaceAll("\n", "\r\n");
    const bytes = Buffer.from(crlf);
    upstream.answerWith(async (socket) => {
      socket.setNoDelay(true);
      socket.write(streamHead);
      for (const byte of bytes) {
        socket.write(chunk(Buffer.from([byte])));
        if (byte === 0xe2 || byte === 0x0d) await new Promise((resolve) => setImmediate(resolve));
      }
      socket.write(lastChunk);
    });
    const heard = await call(client, model, true);
    expect(heard, heard.raw).toMatchObject({ text: "h€llo", isWhole: true, error: undefined });
    expect(await rowOf(heard)).toMatchObject({ outcome: "ok", usage_source: "provider" });
  });

  test("a connection that breaks after each frame, or inside of it, is an error at the end of what came", async () => {
    const frames = await honest(model, true);
    for (const reset of [false, true]) {
      for (let at = 0; at < frames.length - 1; at++) {
        for (const half of [false, true]) {
          const sent = frames.slice(0, at).join("") + (half ? frames[at]!.slice(0, frames[at]!.length / 2) : "");
          upstream.answerWith((socket) => {
            socket.write(streamHead + chunk(`${sent}: \n`).toString(), () =>
              reset ? socket.resetAndDestroy() : socket.destroy(),
            );
          });
          const heard = await call(client, model, true);
          const row = await rowOf(heard);
          const what = `${at} ${half} ${JSON.stringify(row.outcome)} ${heard.raw}`;
          // A figure that tells the end came before the break: the answer is whole for all who read it.
          expect(heard.isWhole || heard.error === "upstream_failed", what).toBe(true);
          if (!heard.isWhole) expect(row, what).toMatchObject({ outcome: "error", error_code: "upstream_failed" });
          expect(row.cost_nanos <= row.reserved_nanos, what).toBe(true);
        }
      }
    }
  });

  test("a stream that ends in the middle is told to the client, although its transport says that all is well", async () => {
    const frames = await honest(model, true);
    const content = frames.findIndex((frame) => frame.includes('"lo"'));
    for (const cut of [frames.slice(0, content), [...frames.slice(0, content), frames[content]!.slice(0, -20)]]) {
      upstream.answerWith(streamOf(cut));
      const heard = await call(client, model, true);
      expect(heard, heard.raw).toMatchObject({ isWhole: false, error: "upstream_failed" });
      expect(await rowOf(heard)).toMatchObject({ outcome: "error", error_code: "upstream_failed" });
    }
  });

  test("a frame of 3 MB passes whole and is counted, one that is larger than any is the end", async () => {
    const frames = await honest(model, true, null);
    const long = "x".repeat(3_000_000);
    upstream.answerWith(streamOf(frames.map((frame) => frame.replace('"lo"', `"${long}"`))));
    const heard = await call(client, model, true);
    expect([heard.text.length, heard.isWhole, heard.error]).toEqual([3_000_003, true, undefined]);
    // Counted at a token for three bytes, it is more than the cap that was sent: the charge stops at what was set aside.
    const row = await rowOf(heard);
    expect(row).toMatchObject({ usage_source: "counted", outcome: "ok" });
    expect(Number(row.output_tokens)).toBeGreaterThan(900_000);
    upstream.answerWith(async (socket) => {
      socket.write(streamHead);
      const piece = chunk("x".repeat(1 << 20));
      socket.write(chunk(`${frames[0]}data: {"x":"`));
      for (let sent = 0; sent < 64 && !socket.destroyed; sent++) {
        if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
      }
    });
    const endless = await call(client, model, true);
    // A busy machine does not get that far within the deadline.
    expect(endless, endless.raw.slice(0, 500)).toMatchObject({ isWhole: false, error: expect.stringMatching(/^upstream_/) });
    expect(endless.raw.length).toBeLessThan(10_000);
  });

  test("nothing passes after the end, and the client does not wait for a provider that does not stop", async () => {
    const frames = await honest(model, true);
    let isClosed = false;
    upstream.answerWith((socket) => {
      socket.on("close", () => (isClosed = true));
      // No frame of Google's format says that it is the last: there the deadline ends the call.
      socket.write(streamHead + chunk([...frames, ...(model === "gemini" ? [] : frames)].join("")).toString());
    });
    const heard = await call(client, model, true);
    const end = model === "gemini" ? { isWhole: false, error: "upstream_timeout" } : { isWhole: true, error: undefined };
    expect(heard, heard.raw).toMatchObject({ text: "hello", ...end });
    const outcome = model === "gemini" ? "error" : "ok";
    expect(await rowOf(heard)).toMatchObject({ outcome, usage_source: "provider" });
    await waitFor(() => isClosed);
  });

  test("frames that are no JSON, no object or of another format are an error, not a crash", async () => {
    const frames = await honest(model, true);
    for (const nonsense of [
      "data: {\n\n",
      "data: null\n\n",
      "data: 7\n\n",
      "data: []\n\n",
      'data: {"type":7,"choices":"x","delta":null}\n\n',
      "data: \u0000\n\n",
    ]) {
      upstream.answerWith(streamOf([frames[0]!, nonsense, ...frames.slice(1)]));
      const answer = await fetchRaw(client, model);
      // Passed on as it is, or told as an error: never silence, and never a row less.
      expect(answer.text).not.toBe("");
      expect(await rowOf(answer), nonsense).toMatchObject({ outcome: expect.stringMatching(/^(?:ok|error)$/) });
    }
  });
});

async function fetchRaw(format: Format, model: string): Promise<{ text: string; requestId: string }> {
  const messages = [{ role: "user", content: "hello" }];
  const answer = await fetch(gateway.url + paths[format], {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key.key}` },
    body: JSON.stringify({ model, stream: true, ...(format === "responses" ? { input: "x" } : { messages, max_tokens: 9 }) }),
    signal: AbortSignal.timeout(8000),
  });
  return { text: await answer.text(), requestId: answer.headers.get("x-request-id")! };
}

/** Answers that are none, as bytes: each must become the same error for every client. */
const noAnswers: [string, () => LyingScript, string?][] = [
  ["HTML with 200", () => bytesOf("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")],
  ["HTML with 500", () => bytesOf("HTTP/1.1 500 X\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")],
  ["HTML with 502", () => bytesOf("HTTP/1.1 502 X\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")],
  ["JSON with 500", () => bytesOf(wholeAnswer('{"error":{"message":"10.1.2.3"}}', "", "500 X"))],
  ["a redirect", () => bytesOf("HTTP/1.1 307 X\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")],
  ["a redirect with JSON", () => bytesOf(wholeAnswer("{}", "location: http://169.254.169.254/\r\n", "302 Found"))],
  ["204", () => bytesOf("HTTP/1.1 204 No Content\r\ncontent-type: application/json\r\n\r\n")],
  ["an empty 200", () => bytesOf(wholeAnswer(""))],
  ["half of a JSON text", () => bytesOf(wholeAnswer('{"choices":[{"message":{"con'))],
  ["JSON that is no object", () => bytesOf(wholeAnswer("[1]"))],
  ["an error with 200", () => bytesOf(wholeAnswer('{"error":{"message":"10.1.2.3","code":500}}'))],
  [
    "a content-length that is too long",
    () => (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{}"),
  ],
  [
    "a negative content-length",
    () => bytesOf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: -1\r\n\r\n{}"),
  ],
  [
    "two content-lengths",
    () => bytesOf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
  ],
  [
    "a chunk whose length is none",
    () => bytesOf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}"),
  ],
  ["a head that never ends", () => async (socket) => flood(socket, "HTTP/1.1 200 OK\r\n", "x-flood: aaaa\r\n".repeat(500))],
  ["noise", () => bytesOf("\u0000\u0001 what\r\n\r\n")],
  ["a TLS alert", () => (socket) => void socket.end(Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]))],
  ["a connection that is reset", () => (socket) => void socket.resetAndDestroy()],
  ["a connection that is closed", () => (socket) => void socket.end()],
  ["gzip that nobody asked for", () => bytesOf(wholeAnswer(gzipSync("{}"), "content-encoding: gzip\r\n"))],
  ["a gzip bomb", () => bytesOf(wholeAnswer(gzipSync(Buffer.alloc(20_000_000, " ")), "content-encoding: gzip\r\n"))],
  [
    "a compressed stream",
    () =>
      bytesOf(
        `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\ndata: x\n\n`,
      ),
  ],
  [
    "a switch of protocols",
    () => bytesOf("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
  ],
  ["an empty stream", () => streamOf([])],
  ["a stream of comments alone", () => streamOf([": ping\n\n", ": ping\n\n"])],
  ["silence", () => () => {}, "upstream_timeout"],
  ["endless interim answers", () => async (socket) => flood(socket, "", "HTTP/1.1 102 Processing\r\n\r\n"), "upstream_timeout"],
  ["half of a head", () => bytesOf("HTTP/1.1 200 OK\r\ncontent-type: appl"), "upstream_timeout"],
  [
    "a body that stops",
    () => bytesOf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{}"),
    "upstream_timeout",
  ],
  [
    "a body that never ends",
    () => async (socket) => flood(socket, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", " "),
    "upstream_timeout",
  ],
  [
    "a stream that only pings",
    () => async (socket) => flood(socket, streamHead, chunk(": ping\n\n").toString()),
    "upstream_timeout",
  ],
];

/** Sends the beginning, and then the same again and again until the other side has enough. */
async function flood(socket: Socket, first: string, again: string): Promise<void> {
  socket.write(first);
  while (!socket.destroyed && socket.writable) {
    socket.write(again);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe.each(noAnswers)("%s", (what, script, code = "upstream_failed") => {
  test.each([...alike, ["chat", "messages"], ["messages", "responses"], ["responses", "chat"], ["chat", "gemini"]] as [
    Format,
    Spoken,
  ][])("is an error for a client of %s on a provider of %s, whole or streamed", async (client, model) => {
    for (const stream of [false, true]) {
      // Only who asked for a stream may get one.
      upstream.answerWith(script());
      const heard = await call(client, model, stream);
      expect(heard, `${what} ${heard.raw}`).toMatchObject({ isWhole: false, text: "" });
      expect([code, "upstream_failed"]).toContain(heard.error);
      expect(heard.raw).not.toMatch(/10\.1\.2\.3|169\.254/);
      const row = await rowOf(heard);
      expect(row).toMatchObject({ outcome: "error", error_code: heard.error });
      expect(row.cost_nanos <= row.reserved_nanos).toBe(true);
      // Each provider may keep one connection for later.
      await waitFor(() => upstream.connections() <= spoken.length);
    }
  });
});

/** Figures as each format names them, all of one value. */
function figures(format: Format, input: unknown, output: unknown = input): object {
  if (format !== "chat") return { input_tokens: input, output_tokens: output };
  const total = typeof input === "number" && typeof output === "number" ? input + output : output;
  return { prompt_tokens: input, completion_tokens: output, total_tokens: total };
}

/** An otherwise honest answer with these figures; `null`: with none. */
async function lying(format: Format, stream: boolean, usage: object | null): Promise<LyingScript> {
  const pieces = await honest(format, stream, usage);
  if (!stream) return bytesOf(wholeAnswer(pieces.join("")));
  return streamOf(
    format === "chat" && usage ? pieces.map((piece) => piece.replace(JSON.stringify(fakeUsage), JSON.stringify(usage))) : pieces,
  );
}

describe.each(formats)("figures of a provider of %s", (format) => {
  test.each<[string, object | null]>([
    ["negative", figures(format, -5)],
    ["texts", figures(format, "7")],
    ["not finite", figures(format, "NaN")],
    ["beyond all counts", figures(format, 1e308)],
    ["fractions", figures(format, 1.5)],
    ["lists", figures(format, [7])],
    ["of the input alone", figures(format, 7, null)],
    ["of the input, and text for the output", figures(format, 7, "9")],
    ["all zero", figures(format, 0)],
    ["an empty object", {}],
    ["missing", null],
  ])("that are %s are none: the call is counted, and its row says why", async (what, usage) => {
    for (const stream of [false, true]) {
      upstream.answerWith(await lying(format, stream, usage));
      const heard = await call(format, format, stream);
      expect(heard, heard.raw).toMatchObject({ status: 200, isWhole: true, error: undefined });
      const row = await rowOf(heard);
      const reason = what === "missing" ? "usage_missing" : "usage_unreadable";
      expect(row, `${stream}`).toMatchObject({ outcome: "ok", usage_source: "counted", error_code: reason });
      expect(Number(row.input_tokens)).toBeGreaterThan(0);
      expect(Number(row.output_tokens)).toBeGreaterThan(0);
      expect(row.cost_nanos).toBeGreaterThan(0n);
      expect(row.cost_nanos <= row.reserved_nanos).toBe(true);
    }
  });

  test("that are too small are the provider's own; too large ones are charged as an overrun", async () => {
    for (const stream of [false, true]) {
      upstream.answerWith(await lying(format, stream, figures(format, 1, 1)));
      expect(await rowOf(await call(format, format, stream))).toMatchObject({
        outcome: "ok",
        usage_source: "provider",
        error_code: null,
        cost_nanos: 11_000n,
      });
      upstream.answerWith(await lying(format, stream, figures(format, 10, 900_000)));
      expect(await rowOf(await call(format, format, stream))).toMatchObject({
        outcome: "overrun",
        usage_source: "provider",
        cost_nanos: 9_000_010_000n,
      });
      key = await scene.issueKey({ budgetNanos: 10n ** 15n });
    }
  });

  test("that stand in what a client wrote, in another place or twice do not count", async () => {
    const cheap = JSON.stringify(figures(format, 1, 1));
    const whole = (await honest(format, false, null)).join("").replace(/,"usage":null/, "");
    for (const more of [
      `"metadata":{"usage":${cheap}}`,
      `"x":[{"usage":${cheap}}]`,
      `"Usage":${cheap}`,
      `"usage":${cheap},"usage":${cheap}`,
    ]) {
      upstream.answerWith(bytesOf(wholeAnswer(`${whole.slice(0, -1)},${more}}`)));
      expect(await rowOf(await call(format, format, false)), more).toMatchObject({ outcome: "ok", usage_source: "counted" });
    }
    const frames = await honest(format, true, null);
    for (const more of [`"metadata":{"usage":${cheap}}`, `"x":[{"usage":${cheap}}]`]) {
      upstream.answerWith(streamOf(frames.map((frame) => frame.replace(/\}\n\n$/, `,${more}}\n\n`))));
      expect(await rowOf(await call(format, format, true)), more).toMatchObject({ outcome: "ok", usage_source: "counted" });
    }
  });
});

test("of several figures in a stream the last are those of the whole", async () => {
  const frames = await honest("chat", true);
  const [first, last] = [figures("chat", 3, 2), figures("chat", 20, 9)].map(
    (usage) => `data: ${JSON.stringify({ choices: [], usage })}\n\n`,
  );
  upstream.answerWith(streamOf([frames[0]!, first!, ...frames.slice(1, -1), last!, frames.at(-1)!]));
  const row = await rowOf(await call("chat", "chat", true));
  expect([row.input_tokens, row.output_tokens, row.usage_source]).toEqual([20n, 9n, "provider"]);
});

test("a stream of messages that breaks off is billed what was seen of it, not the one token of its beginning", async () => {
  const frames = await honest("messages", true);
  const delta = frames.find((frame) => frame.includes('"hel"'))!;
  upstream.answerWith((socket) => {
    socket.write(streamHead + chunk(frames.slice(0, 3).join("") + delta.repeat(100)).toString(), () => socket.destroy());
  });
  const row = await rowOf(await call("messages", "messages", true));
  // The input is the provider's own figure: 10, and 4 from its cache.
  expect(row).toMatchObject({ outcome: "error", error_code: "upstream_failed", usage_source: "counted", input_tokens: 14n });
  expect(Number(row.output_tokens)).toBeGreaterThanOrEqual(100);
});

test.each(formats)(
  "a whole answer of %s where a stream was asked for is an error, and paid as its figures say",
  async (format) => {
    upstream.answerWith(bytesOf(wholeAnswer((await honest(format, false)).join(""))));
    const heard = await call(format, format, true);
    expect(heard).toMatchObject({ status: 502, error: "upstream_failed" });
    expect(await rowOf(heard)).toMatchObject({ outcome: "error", error_code: "upstream_failed", usage_source: "provider" });
  },
);

test("interim answers before an answer and fields after it change nothing", async () => {
  const early = "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n";
  const body = (await honest("chat", false)).join("");
  upstream.answerWith(bytesOf(Buffer.concat([Buffer.from(early.repeat(3)), wholeAnswer(body)])));
  expect((await call("chat", "chat", false)).text).toBe("hello");
  const frames = chunk((await honest("chat", true)).join("")).toString();
  upstream.answerWith(bytesOf(`${early}${streamHead}${frames}0\r\nx-usage: 0\r\ncontent-length: 3\r\n\r\n`));
  const heard = await call("chat", "chat", true);
  expect(heard).toMatchObject({ text: "hello", isWhole: true, error: undefined });
  expect(await rowOf(heard)).toMatchObject({ outcome: "ok", usage_source: "provider" });
});

test.each(["messages", "responses"] as const)(
  "what a client of %s is told as an error is one in its row, and is not taken for a whole answer",
  async (client) => {
    const frame = (delta: object, reason: string | null = null) =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
    const callOf = (index: number, name?: string) =>
      frame({ tool_calls: [{ index, ...(name ? { id: `call_${index}` } : {}), function: { name, arguments: "{" } }] });
    const mixed = [callOf(0, "a"), callOf(1, "b"), callOf(0), frame({}, "tool_calls"), "data: [DONE]\n\n"];
    for (const frames of [mixed, [frame({ content: "half" }), "data: [DONE]\n\n"]]) {
      upstream.answerWith(streamOf(frames));
      const heard = await call(client, "chat", true);
      expect(heard).toMatchObject({ status: 200, isWhole: false });
      expect(heard.raw).toContain("event: error");
      expect(await rowOf(heard)).toMatchObject({ outcome: "error", error_code: "upstream_failed", failure: "error_in_answer" });
    }
  },
);

test("a stream without end that is translated is given up, and not kept in memory as long as it lasts", async () => {
  const [frame] = await honest("chat", true);
  const long = chunk(frame!.replace('"hel"', `"${"x".repeat(1024 * 1024)}"`));
  upstream.answerWith(async (socket) => {
    socket.write(streamHead);
    // Not `once`, which takes the other side's reset for a failure of the test.
    const happened = (event: "drain" | "close") => new Promise<void>((resolve) => void socket.once(event, () => resolve()));
    const closed = happened("close");
    while (!socket.destroyed) if (!socket.write(long)) await Promise.race([happened("drain"), closed]);
  });
  const heard = await call("responses", "lasting", true);
  expect(heard).toMatchObject({ status: 200, isWhole: false });
  expect(heard.raw.length).toBeLessThan(40 * 1024 * 1024);
  expect(await rowOf(heard)).toMatchObject({ outcome: "error", error_code: "upstream_failed", failure: "bad_answer" });
});

test("of a route with another target no lie reaches the client before the answer has begun", async () => {
  const answer = streamOf(await honest("messages", true));
  const [first] = await honest("chat", true);
  const role = first!.replace('"hel"', '""');
  const lies: LyingScript[] = [
    streamOf([]),
    streamOf([": ping\n\n"]),
    streamOf([role]),
    streamOf([role, "data: {"]),
    streamOf(['data: {"error":{"message":"10.1.2.3"}}\n\n']),
    (socket) => void socket.write(streamHead + chunk(role).toString(), () => socket.destroy()),
    bytesOf("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
    bytesOf(wholeAnswer("{}", "", "429 X")),
    bytesOf(wholeAnswer('{"error":{"message":"10.1.2.3"}}')),
    (socket) => void socket.resetAndDestroy(),
  ];
  for (const [index, lie] of lies.entries()) {
    upstream.answerWith((socket, request) =>
      request.path.endsWith("/messages") ? answer(socket, request) : lie(socket, request),
    );
    const heard = await call("chat", "either", true);
    expect(heard, `${index} ${heard.raw}`).toMatchObject({ status: 200, text: "hello", isWhole: true, error: undefined });
    expect(heard.raw).not.toContain("10.1.2.3");
    const rows = await waitFor(async () => {
      const found = await scene.owner.db
        .selectFrom("usage_events")
        .select(["outcome", "error_code"])
        .where("request_id", "=", uuidOf("request", heard.requestId)!)
        .orderBy("attempt")
        .execute();
      return found.length === 2 && found;
    });
    expect(rows).toMatchObject([{ outcome: "error", error_code: "upstream_failed" }, { outcome: "ok" }]);
  }
});

test("figures that no ledger could hold leave a row like any other, and nothing of it hangs", async () => {
  const most = 2 ** 40;
  upstream.answerWith(await lying("chat", false, { prompt_tokens: most, completion_tokens: most }));
  const row = await rowOf(await call("chat", "precious", false));
  // A dollar for each token would be ten thousand times what a budget can be, and more than the column holds.
  expect(row).toMatchObject({ outcome: "overrun", output_tokens: BigInt(most), cost_nanos: 10n ** 17n });
});

test("an answer that nobody asked for reaches nobody", async () => {
  const told = async (text: string) => wholeAnswer((await honest("chat", false)).join("").replace("hello", text));
  const [right, stolen] = [await told("right"), await told("stolen")];
  for (const pauseMs of [0, 30]) {
    upstream.answerWith((socket) => {
      socket.write(pauseMs === 0 ? Buffer.concat([right, stolen]) : right);
      if (pauseMs > 0) setTimeout(() => socket.write(stolen), pauseMs);
    });
    for (let round = 0; round < 4; round++) {
      const heard = await call("chat", "chat", false);
      expect(heard.raw).not.toContain("stolen");
      await rowOf(heard);
      // The connection that said too much is given up.
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, 2 * pauseMs));
    }
  }
  // One that speaks before it was asked.
  upstream.greetWith((socket) => socket.write(stolen));
  for (let round = 0; round < 3; round++) await rowOf(await call("chat", "messages", false));
  upstream.answerWith(bytesOf(right));
  expect((await call("chat", "chat", false)).text).toBe("right");
});

test.each([
  ["noise", (socket: Socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"), "upstream_failed"],
  ["silence", () => {}, "upstream_timeout"],
  ["a reset", (socket: Socket) => void socket.resetAndDestroy(), "upstream_failed"],
])("%s where TLS should be is an error, and nothing is charged", async (_, greeting, code) => {
  upstream.greetWith(greeting);
  for (const stream of [false, true]) {
    const heard = await call("chat", "tls", stream);
    expect(heard.error).toBe(code);
    expect(await rowOf(heard)).toMatchObject({ outcome: "error", error_code: code, usage_source: "none", cost_nanos: 0n });
  }
});

test("a hundred lies later there are no more connections, timers or objects than after the first", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const frames = await honest("chat", true);
  const lies: LyingScript[] = [
    (socket) => void socket.resetAndDestroy(),
    streamOf(frames.slice(0, 1)),
    streamOf([...frames, ...frames]),
    (socket) => void socket.write(streamHead + chunk(frames.join("")).toString()),
    (socket) => void socket.write(streamHead + chunk(frames[0]!).toString(), () => socket.destroy()),
    streamOf([`data: {"x":"${"x".repeat(4 << 20)}`]),
    bytesOf(wholeAnswer('{"choices":')),
    bytesOf("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
    bytesOf("\u0016\u0003"),
  ];
  const round = async () => {
    for (const lie of lies) {
      upstream.answerWith(lie);
      await Promise.all([fetchRaw("chat", "chat"), fetchRaw("messages", "chat")]);
    }
  };
  const count = (kind: string) => process.getActiveResourcesInfo().filter((name) => name === kind).length;
  const heap = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  for (let warm = 0; warm < 3; warm++) await round();
  await waitFor(() => upstream.connections() <= 2 * spoken.length);
  const before = { timers: count("Timeout"), sockets: count("TCPSocketWrap"), heap: heap() };
  for (let again = 0; again < 12; again++) await round();
  await waitFor(() => upstream.connections() <= 2 * spoken.length);
  await waitFor(() => count("TCPSocketWrap") <= before.sockets + 4 && count("Timeout") <= before.timers + 4);
  // 216 calls: a body, a frame or a socket kept of each would be megabytes.
  await waitFor(() => heap() < before.heap + 8_000_000);
}, 60_000);

// The last: nothing of all that is still set aside.
test("what was set aside has gone back, and the budgets say what the rows say", async () => {
  await waitFor(async () => {
    const grants = await scene.owner.db.selectFrom("budget_grants").select("granted_nanos").execute();
    return grants.every(({ granted_nanos: granted }) => granted === 0n);
  });
  const rows = await scene.owner.db.selectFrom("usage_events").select(["cost_nanos", "outcome"]).execute();
  const accounts = await scene.owner.db.selectFrom("budget_accounts").select(["settled_nanos", "granted_nanos"]).execute();
  const sum = (amounts: bigint[]) => amounts.reduce((total, amount) => total + amount, 0n);
  expect(sum(accounts.map((account) => account.settled_nanos))).toBe(sum(rows.map((row) => row.cost_nanos)));
  expect(sum(accounts.map((account) => account.granted_nanos))).toBe(0n);
  expect(rows.filter(({ outcome }) => outcome === "crash")).toEqual([]);
});
