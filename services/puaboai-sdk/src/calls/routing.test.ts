/** Names that stand for several models: what is tried next, and what it costs. */
import { once } from "node:events";
import { uuidOf } from "@nexus/core";
import {
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  htmlError,
  messagesAnswer,
  openGatewayScene,
  silence,
  startFakeUpstream,
  type UpstreamScript,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let first: FakeUpstream;
let second: FakeUpstream;
let gateway: RunningService;
let issued: { key: string; id: string; organizationId: string };

beforeAll(async () => {
  [scene, first, second] = await Promise.all([openGatewayScene(), startFakeUpstream(), startFakeUpstream()]);
  const limits = "kind: chat, context_tokens: 8000, max_output_tokens: 1000";
  const price = (output: number) =>
    `{ unit: usd_per_million_tokens, input: '1', output: '${output}', source: test, effective: 2026-01-01 }`;
  const both = "allow_private_network: true, first_byte_timeout_ms: 300, wire_formats: [openai-chat, anthropic-messages]";
  const yaml = `
providers:
  one: { base_url: "${first.baseUrl}", breaker_failures: 0, ${both} }
  two: { base_url: "${second.baseUrl}", breaker_failures: 0, ${both} }
  fragile: { base_url: "${first.baseUrl}", breaker_failures: 3, breaker_open_ms: 400, ${both} }
  claude: { base_url: "${first.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
  old: { base_url: "${second.baseUrl}", allow_private_network: true, takes_stream_options: false, output_cap_field: max_completion_tokens }
  hasty: { base_url: "${first.baseUrl}", breaker_failures: 0, idle_timeout_ms: 150, total_timeout_ms: 800, ${both} }
  narrow: { base_url: "${first.baseUrl}", max_concurrent: 1, breaker_failures: 0, ${both} }
  nowhere: { base_url: "http://127.0.0.1:1/v1", allow_private_network: true, breaker_failures: 0 }
models:
  - { id: a, provider: one, ${limits}, price: ${price(10)} }
  - { id: b, provider: two, ${limits}, price: ${price(20)} }
  - { id: weak, provider: fragile, ${limits}, price: free }
  - { id: free-b, provider: two, ${limits}, price: free }
  - { id: claude, provider: claude, ${limits}, price: free }
  - { id: old, provider: old, ${limits}, price: ${price(10)} }
  - { id: hasty, provider: hasty, ${limits}, price: free }
  - { id: narrow, provider: narrow, ${limits}, price: free }
  - { id: gone, provider: nowhere, ${limits}, price: free }
routes:
  smart: { targets: [a, b] }
  spread: { strategy: weighted, targets: [{ model: a, weight: 1 }, { model: b, weight: 1 }] }
  guarded: { targets: [weak, free-b] }
  mixed: { targets: [claude, free-b] }
  again: { targets: [gone, gone, free-b] }
`;
  gateway = await startTestGateway(scene, { yaml });
  issued = await scene.issueKey({ budgetNanos: 1_000_000_000_000n });
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([first.close(), second.close()]);
  await scene.close();
});
beforeEach(() => {
  for (const provider of [first, second]) {
    provider.received.length = 0;
    provider.answerWith(chatAnswer());
  }
});

function call(model: string, more: object = {}, path = "/v1/chat/completions"): Promise<Response> {
  return post(`${gateway.url}${path}`, issued.key, { model, messages: [{ role: "user", content: "hello" }], ...more });
}

/** The rows of a request, one an attempt, when all of them are there. */
async function attemptsOf(answer: Response, count: number) {
  const requestId = uuidOf("request", answer.headers.get("x-request-id")!)!;
  return await waitFor(async () => {
    const rows = await scene.owner.db
      .selectFrom("usage_events")
      .select(["attempt", "model", "provider", "outcome", "error_code", "failure", "upstream_status"])
      .select(["cost_nanos", "reserved_nanos"])
      .where("request_id", "=", requestId)
      .where("outcome", "!=", "crash")
      .orderBy("attempt")
      .execute();
    return rows.length === count ? rows : undefined;
  });
}

const jsonOf =
  (status: number, body: object): UpstreamScript =>
  (response) =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
const tooBusy = jsonOf(429, { error: { message: "slow down" } });

test("a provider that fills its stream with nothing is given up for the next, and not held without end", async () => {
  let bytes = 0;
  const pings = ": ping\n\n".repeat(8192);
  first.answerWith(async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const closed = once(response, "close");
    while (!response.destroyed) {
      bytes += pings.length;
      if (!response.write(pings)) await Promise.race([once(response, "drain"), closed]);
    }
  });
  second.answerWith(chatStream({ usage: "always" }));
  const answer = await call("smart", { stream: true });
  expect(await answer.text()).toContain('"lo"');
  expect(bytes).toBeGreaterThan(16 * 1024 * 1024);
  expect(await attemptsOf(answer, 2)).toMatchObject([
    { outcome: "error", error_code: "upstream_failed", failure: "bad_answer" },
    { outcome: "ok" },
  ]);
});

describe("an ordered route", () => {
  test("asks its first target, and no other one while that answers", async () => {
    const answer = await call("smart");
    expect(answer.status).toBe(200);
    expect([first.received.length, second.received.length]).toEqual([1, 0]);
    expect(await attemptsOf(answer, 1)).toMatchObject([{ attempt: 1, model: "a", outcome: "ok" }]);
  });

  test.each<[string, string, number | null, UpstreamScript]>([
    ["fails", "server_error", 500, htmlError(500)],
    ["has no room", "overloaded", 529, htmlError(529)],
    ["is too busy", "overloaded", 429, tooBusy],
    ["refuses our account", "refused", 401, jsonOf(401, {})],
    ["is silent", "first_byte_timeout", null, silence()],
    ["answers no JSON", "bad_answer", 200, htmlError(200)],
    ["answers with an error", "error_in_answer", 200, jsonOf(200, { error: { message: "no" } })],
    ["points elsewhere", "bad_answer", 302, htmlError(302)],
    ["cuts the connection", "connection_broken", null, (response) => void response.destroy()],
  ])("goes on to the next when the first one %s: %s, status %s, in an account of its own", async (_, failure, status, script) => {
    first.answerWith(script);
    const answer = await call("smart");
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "hello" } }] });
    const [failed, good] = await attemptsOf(answer, 2);
    expect(failed).toMatchObject({ attempt: 1, model: "a", provider: "one", outcome: "error", failure, upstream_status: status });
    // 11 × 1,000 + 7 × 20,000 nano-dollars, at the second one's price.
    expect(good).toMatchObject({ attempt: 2, model: "b", provider: "two", outcome: "ok", cost_nanos: 151_000n });
    expect(good).toMatchObject({ failure: null, upstream_status: 200 });
    expect(good!.reserved_nanos).toBeGreaterThan(failed!.reserved_nanos);
  });

  test("passes on what is the client's own fault, and asks nobody else", async () => {
    first.answerWith((response) => {
      response.writeHead(400, { "content-type": "application/json" }).end('{"error":{"message":"bad tool","type":"x"}}');
    });
    const answer = await call("smart");
    expect([answer.status, second.received.length]).toEqual([400, 0]);
    expect(await answer.json()).toMatchObject({ error: { message: "bad tool" } });
    const told = { error_code: "upstream_refused", failure: "refused", upstream_status: 400 };
    expect(await attemptsOf(answer, 1)).toMatchObject([told]);
  });

  test("may name a model again to try it again, and the last failure is the one that is told", async () => {
    expect((await call("again")).status).toBe(200);
    second.answerWith(htmlError(503));
    const answer = await call("again");
    expect(answer.status).toBe(502);
    expect(await attemptsOf(answer, 3)).toMatchObject([
      { model: "gone", failure: "no_connection", upstream_status: null },
      { model: "gone", failure: "no_connection" },
      { model: "free-b", outcome: "error", failure: "overloaded", upstream_status: 503 },
    ]);
  });
});

describe("a stream", () => {
  const role = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] })}\n\n`;
  const streaming = (text: string, after: "cut" | "error" | "silence"): UpstreamScript => {
    return async (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(text);
      if (after === "error") response.end('data: {"error":{"message":"overloaded"}}\n\n');
      if (after === "cut") setTimeout(() => response.destroy(), 30);
      if (after === "silence") await silence()(response, first.received[0]!);
    };
  };

  test.each([
    ["cut", "connection_broken"],
    ["error", "error_in_answer"],
  ] as const)("that has told only its role may still begin elsewhere: %s is %s", async (after, failure) => {
    first.answerWith(streaming(role, after));
    second.answerWith(chatStream({ texts: ["b1", "b2"] }));
    const answer = await call("smart", { stream: true });
    const text = await answer.text();
    expect(text).toContain("b1");
    expect(text).toContain("[DONE]");
    expect(text).not.toContain("overloaded");
    expect(text.match(/"role"/g)).toHaveLength(1);
    expect(await attemptsOf(answer, 2)).toMatchObject([
      { outcome: "error", failure, upstream_status: 200 },
      { outcome: "ok", failure: null, model: "b" },
    ]);
  });

  test.each([
    ["error", "error_in_answer"],
    ["cut", "connection_broken"],
    ["silence", "idle_timeout"],
    ["slowness", "total_timeout"],
  ] as const)("that fails late says so in its row: %s is %s", async (after, failure) => {
    const piece = role.replace('"content":""', '"content":"a1"');
    first.answerWith(after === "slowness" ? chatStream({ texts: Array(40).fill("a"), delayMs: 50 }) : streaming(piece, after));
    const answer = await call("hasty", { stream: true });
    expect(await answer.text()).toMatch(/upstream_failed|upstream_timeout|overloaded/);
    expect(await attemptsOf(answer, 1)).toMatchObject([{ outcome: "error", failure, upstream_status: 200 }]);
  });

  test("that has told anything is not begun again", async () => {
    first.answerWith(streaming(`${role}${role.replace('"content":""', '"content":"a1"')}`, "cut"));
    const answer = await call("smart", { stream: true });
    const text = await answer.text();
    expect(text).toContain("a1");
    expect(text).toContain('"code":"upstream_failed"');
    expect(second.received).toEqual([]);
  });

  test("of the last target hands on its role at once", async () => {
    second.answerWith(streaming(role, "silence"));
    const answer = await call("free-b", { stream: true });
    const reader = answer.body!.getReader();
    expect(Buffer.from((await reader.read()).value).toString()).toBe(role);
    await reader.cancel();
    await waitFor(() => second.received[0]?.abortedAt !== undefined);
  });

  test("whose client goes away asks nobody else", async () => {
    first.answerWith(streaming(role, "silence"));
    const stop = new AbortController();
    const asking = fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      signal: stop.signal,
      headers: { authorization: `Bearer ${issued.key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "smart", stream: true, messages: [{ role: "user", content: "x" }] }),
    });
    await waitFor(() => first.received.length === 1);
    stop.abort();
    await expect(asking).rejects.toThrow("abort");
    await waitFor(() => first.received[0]?.abortedAt !== undefined);
    expect(second.received).toEqual([]);
  });
});

test("a weighted route spreads its calls", async () => {
  for (let n = 0; n < 40; n++) expect((await call("spread")).status).toBe(200);
  expect(first.received.length + second.received.length).toBe(40);
  // Fewer than 4 of 40 at even odds: once in more than 20 million runs.
  expect(Math.min(first.received.length, second.received.length)).toBeGreaterThan(3);
});

test("a route takes those of its targets that can be asked in the client's format", async () => {
  first.answerWith(messagesAnswer());
  expect((await call("mixed", { max_tokens: 10 }, "/v1/messages")).status).toBe(200);
  expect((await call("mixed")).status).toBe(200);
  expect(first.received.map(({ path }) => path)).toEqual(["/v1/messages", "/v1/messages"]);
  first.answerWith(htmlError(500));
  expect((await call("mixed")).status).toBe(200);
  expect(second.received.map(({ path }) => path)).toEqual(["/v1/chat/completions"]);
});

test("a translated call keeps to what its provider takes, and is charged by its figures", async () => {
  second.answerWith(chatStream({ texts: ["a"], usage: "always" }));
  const answer = await call("old", { max_tokens: 5000, stream: true }, "/v1/messages");
  expect(await answer.text()).toContain("event: message_stop");
  const sent = JSON.parse(second.received[0]!.body.toString()) as object;
  expect(sent).toMatchObject({ model: "old", max_completion_tokens: 1000, stream: true });
  expect(Object.keys(sent)).not.toEqual(expect.arrayContaining(["max_tokens"]));
  expect(Object.keys(sent)).not.toEqual(expect.arrayContaining(["stream_options"]));
  // 11 × 1,000 + 7 × 10,000 nano-dollars.
  expect(await attemptsOf(answer, 1)).toMatchObject([{ outcome: "ok", cost_nanos: 81_000n }]);
});

test("a provider that keeps failing is left alone, health says so, and it is tried again later", async () => {
  first.answerWith(htmlError(500));
  for (let n = 0; n < 5; n++) expect((await call("guarded")).status).toBe(200);
  expect(first.received).toHaveLength(3);
  const alone = await call("weak");
  expect([alone.status, alone.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await attemptsOf(alone, 1)).toMatchObject([
    { error_code: "unavailable", failure: "breaker_open", upstream_status: null },
  ]);
  const health = (await (await fetch(`${gateway.url}/health`)).json()) as { status: string; checks: Record<string, unknown> };
  expect(health.status).toBe("warn");
  expect(health.checks["provider:fragile"]).toMatchObject([{ status: "warn", output: expect.stringContaining("open") }]);
  first.answerWith(chatAnswer());
  await waitFor(async () => (await call("weak")).status === 200);
  expect((await call("guarded")).status).toBe(200);
});

test("a provider with as many calls as it may have is not asked, and the row says so", async () => {
  first.answerWith(chatStream({ texts: ["a", "b"], delayMs: 250 }));
  const running = call("narrow", { stream: true });
  await waitFor(() => first.received.length === 1);
  const refused = await call("narrow");
  expect(refused.status).toBe(503);
  expect(await attemptsOf(refused, 1)).toMatchObject([{ error_code: "unavailable", failure: "too_many_calls" }]);
  await (await running).text();
});

test("a key needs the name of the route and not those of its targets", async () => {
  const { key } = await scene.issueKey({ models: ["guarded"] });
  const ask = (model: string) => post(`${gateway.url}/v1/chat/completions`, key, { model, messages: [] });
  expect((await ask("guarded")).status).toBe(200);
  expect((await ask("free-b")).status).toBe(404);
  const answer = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const { data } = (await answer.json()) as { data: object[] };
  expect(data).toMatchObject([{ id: "guarded", owned_by: "nexus", price: "free", targets: ["weak", "free-b"] }]);
});
