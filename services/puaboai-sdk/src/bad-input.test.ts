/**
 * What bad input gets on every route that calls models, where each call costs money: the client's own error in its own dialect,
 * naming the field, and nothing of the budget is set aside or charged.
 */
import { readdirSync } from "node:fs";
import { uuidOf } from "@nexus/core";
import {
  captureLogs,
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  sendRaw,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningService } from "./service.ts";
import { startTestGateway } from "./start-test-gateway.test.ts";

interface Route {
  path: string;
  /** A request that is right. */
  good: Record<string, unknown>;
  /** Where it tells its output cap. */
  cap?: string;
  /** Where it tells how many answers it wants. */
  count?: string;
}

const messages = [{ role: "user", content: "hello" }];
const routes: Route[] = [
  { path: "/v1/chat/completions", good: { model: "chat", messages }, cap: "max_completion_tokens", count: "n" },
  { path: "/v1/messages", good: { model: "chat", messages, max_tokens: 10 }, cap: "max_tokens" },
  { path: "/v1/messages/count_tokens", good: { model: "chat", messages } },
  { path: "/v1/responses", good: { model: "chat", input: "hello" }, cap: "max_output_tokens" },
  { path: "/v1/embeddings", good: { model: "embed", input: "hello" } },
  { path: "/v1/moderations", good: { model: "moderate", input: "hello" } },
  { path: "/v1/images/generations", good: { model: "paint", prompt: "a dot" }, count: "n" },
];
const bodyLimit = 1_000_000;

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let key: { key: string; organizationId: string };
let spool: string;
const logs = captureLogs();

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const price = 'price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }';
  const limits = `context_tokens: 8000, ${price}`;
  const yaml = `
providers:
  all:
    base_url: ${provider.baseUrl}
    allow_private_network: true
    wire_formats: [openai-chat, openai-responses, openai-embeddings, openai-moderations, openai-images, anthropic-messages]
  chat-only: { base_url: "${provider.baseUrl}", allow_private_network: true }
  messages-only: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
models:
  - { id: chat, provider: all, kind: chat, max_output_tokens: 1000, ${limits} }
  - { id: to-chat, provider: chat-only, kind: chat, max_output_tokens: 1000, ${limits} }
  - { id: to-messages, provider: messages-only, kind: chat, max_output_tokens: 1000, ${limits} }
  - { id: embed, provider: all, kind: embeddings, ${limits} }
  - { id: moderate, provider: all, kind: moderations, ${limits} }
  - { id: paint, provider: all, kind: images, max_output_tokens: 1000, ${limits} }
`;
  spool = scene.environment["NEXUS_SPOOL_DIR"]!;
  gateway = await startTestGateway(scene, { yaml, variables: { NEXUS_MAX_BODY_BYTES: String(bodyLimit) }, logs });
  key = await scene.issueKey({ budgetNanos: 10n ** 12n });
});
afterAll(async () => {
  await provider.close();
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
  // What is wrong only the provider knows: it says so in the shape of its format.
  provider.answerWith((response, { path }) => {
    const error = { type: "invalid_request_error", message: "messages.0.role: no such role", param: "messages.0.role" };
    const body = path.startsWith("/v1/messages") ? { type: "error", error } : { error };
    response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
});

/** An idle block of the budget goes back within two seconds; what a call still held would not. */
async function nothingIsHeld(): Promise<void> {
  await waitFor(async () => (await heldOf(key.organizationId)) === 0n, { what: "the end of what was set aside" });
}

/** What the organization's calls hold, in nano-dollars. */
async function heldOf(organizationId: string): Promise<bigint> {
  const grants = await scene.owner.db.selectFrom("budget_grants").select("granted_nanos").execute();
  expect(await chargedTo(organizationId)).toBe(0n);
  return grants.reduce((sum, { granted_nanos: granted }) => sum + granted, 0n);
}

async function chargedTo(organizationId: string): Promise<bigint> {
  const rows = await scene.owner.db
    .selectFrom("usage_events")
    .select(["cost_nanos", "outcome"])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .execute();
  expect(rows.filter(({ outcome }) => outcome === "crash")).toEqual([]);
  return rows.reduce((sum, { cost_nanos: cost }) => sum + cost, 0n);
}

interface Refusal {
  status: number;
  code: string | undefined;
  /** The whole error, to look for the name of a field in. */
  text: string;
}

async function send(path: string, body: string | Buffer | object, headers: Record<string, string> = {}): Promise<Refusal> {
  const answer = await fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key.key}`, ...headers },
    body: typeof body === "string" || Buffer.isBuffer(body) ? (body as string) : JSON.stringify(body),
  });
  return refusalIn(path, answer.status, await answer.text());
}

/** Checks that the error has the shape of the route's dialect. */
function refusalIn(path: string, status: number, text: string): Refusal {
  const body = JSON.parse(text) as { type?: string; error?: { type?: string; code?: string; message?: string } };
  if (status >= 400) {
    expect(body.error?.message, text).toBeTypeOf("string");
    expect(body.error?.type, text).toBeTypeOf("string");
    if (path.startsWith("/v1/messages")) expect(body.type).toBe("error");
  }
  return { status, code: body.error?.code, text };
}

/** The body of a good request with its members in front, so that a text that is cut comes last. */
function textOf(good: object, more: string): string {
  return `${JSON.stringify(good).slice(0, -1)},${more}`;
}

const text = (value: string): Buffer => Buffer.from(value);
interface Case {
  what: string;
  body: (good: Record<string, unknown>) => string | Buffer | object;
  status: number;
  code: string;
  /** Named in the error. */
  names?: string;
}

const anywhere: Case[] = [
  { what: "an empty body", body: () => "", status: 400, code: "malformed_json" },
  { what: "a list", body: () => "[]", status: 422, code: "invalid_request", names: "the body" },
  { what: "null", body: () => "null", status: 422, code: "invalid_request", names: "the body" },
  { what: "a number too large for any", body: () => "1e999", status: 422, code: "invalid_request", names: "the body" },
  { what: "half a document", body: (good) => textOf(good, '"x":{"a":'), status: 400, code: "malformed_json" },
  {
    what: "a document and a half",
    body: (good) => `${JSON.stringify(good)}{}`,
    status: 400,
    code: "malformed_json",
    names: "byte",
  },
  { what: "a byte order mark", body: (good) => `\ufeff${JSON.stringify(good)}`, status: 400, code: "malformed_json" },
  {
    what: "invalid UTF-8",
    body: (good) => Buffer.concat([text(textOf(good, '"x":"')), Buffer.from([0xc3, 0x28]), text('"}')]),
    status: 400,
    code: "malformed_json",
    names: "UTF-8",
  },
  {
    what: "a surrogate in UTF-8",
    body: (good) => Buffer.concat([text(textOf(good, '"x":"')), Buffer.from([0xed, 0xa0, 0x80]), text('"}')]),
    status: 400,
    code: "malformed_json",
    names: "UTF-8",
  },
  {
    what: "100,000 levels of lists",
    body: (good) => textOf(good, `"x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
    status: 400,
    code: "malformed_json",
    names: "nested deeper",
  },
  {
    what: "100,000 levels of objects",
    body: (good) => textOf(good, `"x":${'{"x":'.repeat(100_000)}1${"}".repeat(100_001)}`),
    status: 400,
    code: "malformed_json",
    names: "nested deeper",
  },
  { what: "two models", body: (good) => textOf(good, '"model":"other"}'), status: 422, code: "invalid_request", names: "model" },
  {
    what: "a model in two cases",
    body: (good) => textOf(good, '"MODEL":"x"}'),
    status: 422,
    code: "invalid_request",
    names: "model",
  },
  ...[null, 1, true, ["chat"], { id: "chat" }, "", "x".repeat(60_000)].map((model) => ({
    what: `a model that is ${JSON.stringify(model).slice(0, 20)}`,
    body: (good: object) => ({ ...good, model }),
    status: 422,
    code: "invalid_request",
    names: "model",
  })),
  ...["__proto__", "constructor", "toString", "\u0000", "..", "no such"].map((model) => ({
    what: `the model ${JSON.stringify(model)}`,
    body: (good: object) => ({ ...good, model }),
    status: 404,
    code: "model_not_found",
  })),
  { what: "a lone surrogate for a model", body: (good) => ({ ...good, model: "\ud800" }), status: 404, code: "model_not_found" },
  {
    what: "a body over the limit",
    body: (good) => ({ ...good, x: "x".repeat(bodyLimit) }),
    status: 413,
    code: "body_too_large",
  },
];

describe.each(routes)("$path", ({ path, good, cap, count }) => {
  afterAll(nothingIsHeld);

  test.each(anywhere)("$what is answered with $status in the client's dialect", async ({ body, status, code, names }) => {
    const refused = await send(path, body(good));
    expect([refused.status, refused.code], refused.text.slice(0, 500)).toEqual([status, code]);
    if (names !== undefined) expect(refused.text).toContain(names);
    expect(refused.text.length).toBeLessThan(2000);
    expect(provider.received).toEqual([]);
  });

  test.each([cap, count].filter((name) => name !== undefined))("%s is a count, once", async (name) => {
    for (const value of [0, -1, 1.5, 2 ** 53, 1e308, "10", true, [1], {}]) {
      const refused = await send(path, { ...good, [name]: value });
      expect([refused.status, refused.code], `${JSON.stringify(value)} ${refused.text}`).toEqual([422, "invalid_request"]);
      expect(refused.text).toContain(name);
    }
    for (const twice of [`"${name}":1,"${name}":2}`, `"${name}":1,"${name.toUpperCase()}":999}`]) {
      const { [name]: _, ...rest } = good;
      const refused = await send(path, textOf(rest, twice));
      expect([refused.status, refused.code], refused.text).toEqual([422, "invalid_request"]);
      expect(refused.text).toContain(name);
    }
    const { [name]: _, ...rest } = good;
    expect((await send(path, textOf(rest, `"${name}":1e400}`))).text).toContain(name);
    // Where the API wants a cap, null is none: the provider might write without end what nothing was set aside for.
    if (name in good) expect((await send(path, { ...rest, [name]: null })).text).toContain(name);
    expect((await send(path, textOf(rest, `"${name}":NaN}`))).code).toBe("malformed_json");
    expect(provider.received).toEqual([]);
  });

  test("a body that is compressed, or of another type, is refused by name", async () => {
    const compressed = await send(path, good, { "content-encoding": "gzip" });
    expect([compressed.status, compressed.code]).toEqual([415, "unsupported_media_type"]);
    for (const type of ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x"]) {
      const refused = await send(path, good, { "content-type": type });
      expect([refused.status, refused.code], `${type} ${refused.text}`).toEqual([415, "unsupported_media_type"]);
    }
    expect(provider.received).toEqual([]);
  });

  test("a message that frames itself in two ways, or has two hosts or none, is 400 and closes the connection", async () => {
    const body = JSON.stringify(good);
    const head = (lines: string[]) => {
      const usual = [`POST ${path} HTTP/1.1`, `authorization: Bearer ${key.key}`, "content-type: application/json"];
      return `${[...usual, ...lines].join("\r\n")}\r\n\r\n`;
    };
    const length = `content-length: ${body.length}`;
    for (const bytes of [
      head(["host: a", "host: b", length]) + body,
      head(["host: a", "Host: a", length]) + body,
      head([length]) + body,
      head(["host: a b", length]) + body,
      head(["host: a", length, `content-length: ${body.length - 1}`]) + body,
      head(["host: a", length, "transfer-encoding: chunked"]) + body,
      head(["host: a", "transfer-encoding: chunked"]) + "zz\r\n",
      head(["host: a", "content-length: -5"]) + body,
      head(["host: a", `x\u0000y: 1`, length]) + body,
    ]) {
      const { answer } = sendRaw(gateway.url, bytes);
      const { status, headers } = await answer;
      expect([status, headers["connection"]], bytes).toEqual([400, "close"]);
    }
    expect(provider.received).toEqual([]);
  });

  test("a body that never ends sets nothing aside, and goes when its client goes", async () => {
    const lines = [`POST ${path} HTTP/1.1`, "host: a", `authorization: Bearer ${key.key}`, "content-type: application/json"];
    const endless = sendRaw(gateway.url, `${[...lines, "transfer-encoding: chunked"].join("\r\n")}\r\n\r\n5\r\n{"a":\r\n`);
    const slow = sendRaw(gateway.url, `${[...lines, "content-length: 100"].join("\r\n")}\r\n\r\n{`);
    // One that goes on for ever is stopped at the limit.
    const flood = sendRaw(gateway.url, `${[...lines, "transfer-encoding: chunked"].join("\r\n")}\r\n\r\n`);
    const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`;
    const feed = setInterval(() => flood.socket.writable && flood.socket.write(chunk), 1);
    const { status, body } = await flood.answer;
    clearInterval(feed);
    expect(refusalIn(path, status, body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1))).toMatchObject({
      status: 413,
      code: "body_too_large",
    });
    expect(await heldOf(key.organizationId)).toBe(0n);
    endless.socket.destroy();
    slow.socket.destroy();
    expect(provider.received).toEqual([]);
  });

  test("what only the provider can judge comes back as its own refusal, and costs nothing", async () => {
    for (const more of [
      { messages: [{ role: "wizard", content: "x" }] },
      { functions: [{ name: 7 }], tool_choice: { nobody: true } },
      { input: "\ud800\udc00\ud800", prompt: "\udfff" },
      { ["__proto__"]: { polluted: true }, constructor: { prototype: { polluted: true } } },
      { user: "x".repeat(60_000) },
    ]) {
      const refused = await send(path, { ...good, ...more });
      expect(refused.status, refused.text).toBe(400);
      expect(refused.text).toContain("messages.0.role");
    }
    expect(provider.received).toHaveLength(5);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

const tool = { type: "function", function: { name: "f", parameters: { type: "object" } } };
const user = { role: "user", content: "x" };
describe("what has to be translated is judged here, by name", () => {
  afterAll(nothingIsHeld);

  test.each([
    ["/v1/chat/completions", { messages: [{ role: "wizard", content: "x" }] }, "messages.0.role"],
    ["/v1/chat/completions", { messages: [{ role: 7, content: "x" }] }, "messages.0.role"],
    ["/v1/chat/completions", { messages: "hello" }, "messages"],
    ["/v1/chat/completions", { messages: [] }, "messages"],
    ["/v1/chat/completions", { messages: [null] }, "messages.0"],
    ["/v1/chat/completions", { messages: [{ role: "user" }] }, "messages.0.content"],
    ["/v1/chat/completions", { messages: [{ role: "user", content: [{ type: "hologram" }] }] }, "messages.0.content.0.type"],
    ["/v1/chat/completions", { messages: [user, { role: "tool", content: "x" }] }, "messages.1.tool_call_id"],
    ["/v1/chat/completions", { messages: [user], tools: [{ type: "teleport" }] }, "tools.0"],
    ["/v1/chat/completions", { messages: [user], tools: [{ ...tool, function: { name: 7 } }] }, "tools.0.function.name"],
    ["/v1/chat/completions", { messages: [user], tools: [tool], tool_choice: "perhaps" }, "tool_choice"],
    ["/v1/chat/completions", { messages: [user], n: 2 }, "n"],
    ["/v1/chat/completions", { messages: [user], temperature: "hot" }, "temperature"],
    ["/v1/messages", { max_tokens: 9, messages: [{ role: "wizard", content: "x" }] }, "messages.0.role"],
    [
      "/v1/messages",
      { max_tokens: 9, messages: [{ role: "user", content: [{ type: "hologram" }] }] },
      "messages.0.content.0.type",
    ],
    ["/v1/messages", { max_tokens: 9, messages: [user], tools: [{ name: 7, input_schema: {} }] }, "tools.0.name"],
    ["/v1/messages", { max_tokens: 9, messages: [user], tool_choice: { type: "perhaps" } }, "tool_choice"],
    ["/v1/messages", { max_tokens: 9, messages: [user], system: 7 }, "system"],
    ["/v1/responses", { input: [{ role: "wizard", content: "x" }] }, "input.0.role"],
    ["/v1/responses", { input: 7 }, "input"],
    ["/v1/responses", { input: "x", tools: [{ type: "function" }] }, "tools.0.name"],
    ["/v1/responses", { input: "x", tool_choice: "perhaps" }, "tool_choice"],
  ])("%s %j", async (path, body, name) => {
    const refused = await send(path, { model: path === "/v1/chat/completions" ? "to-messages" : "to-chat", ...body });
    expect([refused.status, refused.code], refused.text).toEqual([422, "invalid_request"]);
    expect(refused.text).toContain(name);
    expect(provider.received).toEqual([]);
  });

  test.each(["messages", "content"])(
    "more objects in %s than anybody sends are refused before they are looked at",
    async (name) => {
      const many = Array.from({ length: 20_001 }, () => ({}));
      const asked = name === "messages" ? many : [{ role: "user", content: many }];
      const refused = await send("/v1/chat/completions", { model: "to-messages", messages: asked });
      expect([refused.status, refused.code]).toEqual([422, "invalid_request"]);
      expect(refused.text).toContain(`${name} is too long`);
    },
  );

  test("names that objects have of themselves are names like others, and lone surrogates are texts", async () => {
    const named = (name: string) => ({ ...tool, function: { ...tool.function, name, description: "\ud800" } });
    const tools = ["__proto__", "constructor", "hasOwnProperty"].map(named);
    const refused = await send("/v1/chat/completions", { model: "to-messages", messages: [user], tools });
    expect(refused.status).toBe(400);
    const sent = JSON.parse(provider.received[0]!.body.toString()) as { tools: { name: string }[] };
    expect(sent.tools.map(({ name }) => name)).toEqual(["__proto__", "constructor", "hasOwnProperty"]);
  });
});

describe("what a hostile text costs the event loop grows with its length, not with its square", () => {
  afterAll(nothingIsHeld);

  const run = (length: number) => "a".repeat(length);
  test.each<[string, string, (length: number) => object]>([
    [
      "an unbroken run, passed on",
      "/v1/chat/completions",
      (n) => ({ model: "chat", messages: [{ role: "user", content: run(n) }] }),
    ],
    ["one, translated", "/v1/chat/completions", (n) => ({ model: "to-messages", messages: [{ role: "user", content: run(n) }] })],
    ["one, embedded", "/v1/embeddings", (n) => ({ model: "embed", input: run(n) })],
    ["one that is a name", "/v1/responses", (n) => ({ model: "chat", input: "x", [run(n)]: 1 })],
    [
      "escapes alone",
      "/v1/messages",
      (n) => ({ model: "chat", max_tokens: 1, messages: [{ role: "user", content: "\\".repeat(n / 2) }] }),
    ],
  ])("%s", async (_what, path, bodyOf) => {
    const small = await busyMs(path, bodyOf(60_000));
    const large = await busyMs(path, bodyOf(8 * 60_000));
    // Linear work takes 8 times as long or less, as every request has a part that does not grow; quadratic work takes 64 times.
    expect(large / small).toBeLessThan(24);
  });

  test.each(["[", '{"a":'])("nesting by %s", async (open) => {
    const bodyOf = (depth: number) => `{"model":"chat","messages":${open.repeat(depth)}`;
    const small = await busyMs("/v1/chat/completions", bodyOf(20_000));
    const large = await busyMs("/v1/chat/completions", bodyOf(8 * 20_000));
    expect(large / small).toBeLessThan(24);
  });

  /** For how long the event loop was busy with such a request, in milliseconds: the least of some, as others use the machine too. */
  async function busyMs(path: string, body: object | string): Promise<number> {
    const times: number[] = [];
    for (let round = 0; round < 6; round++) {
      const before = performance.eventLoopUtilization();
      const { status } = await send(path, body);
      times.push(performance.eventLoopUtilization(before).active);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
    }
    return Math.min(...times);
  }
});

// The last of all: it stops the gateway.
test("no call is left in the journal", async () => {
  expect(provider.received).toEqual([]);
  await gateway.close();
  // Every call that was begun has its end in the database: a journal is left only for what has none.
  expect(readdirSync(spool)).toEqual([]);
});
