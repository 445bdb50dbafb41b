import { type FakeUpstream, type GatewayScene, openGatewayScene, startFakeUpstream } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, rowOf, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let key: string;

const usageMetadata = {
  promptTokenCount: 100,
  cachedContentTokenCount: 40,
  candidatesTokenCount: 20,
  thoughtsTokenCount: 30,
  totalTokenCount: 150,
};
const piece = (text: string, more: object = {}) => ({
  candidates: [{ index: 0, content: { role: "model", parts: [{ text }] }, ...more }],
  usageMetadata,
  modelVersion: "gemini-2.5-flash",
});

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const yaml = `
providers:
  gemini:
    kind: google-gemini
    base_url: "${provider.baseUrl}beta"
    allow_private_network: true
    api_key_env: GEMINI_KEY
models:
  - id: flash
    provider: gemini
    upstream_model: gemini-2.5-flash
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", cached_input: "0.5", source: test, effective: 2026-01-01 }
`;
  gateway = await startTestGateway(scene, { yaml, secrets: { GEMINI_KEY: "gemini-key-0123456789" } });
  ({ key } = await scene.issueKey({ budgetNanos: 10n ** 12n }));
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
});

const answerWith = (status: number, body: object) =>
  provider.answerWith(
    (response) => void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body)),
  );
const streamWith = (frames: readonly object[]) =>
  provider.answerWith((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(frames.map((frame) => `data: ${JSON.stringify(frame)}\r\n\r\n`).join(""));
  });
const ask = (path: string, body: object) =>
  post(`${gateway.url}/v1/${path}`, key, {
    model: "flash",
    max_tokens: 200,
    messages: [{ role: "user", content: "hello" }],
    ...body,
  });
/** 60 plain and 40 cached in, 50 out with the thoughts. */
const cost = 60n * 1000n + 40n * 500n + 50n * 10_000n;

test("the model stands in the path, the key in Google's header, and thoughts are billed as output", async () => {
  answerWith(200, piece("Hello.", { finishReason: "STOP" }));
  const answer = await ask("chat/completions", {});
  expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "Hello." }, finish_reason: "stop" }] });
  const [request] = provider.received;
  expect(request).toMatchObject({
    path: "/v1beta/models/gemini-2.5-flash:generateContent",
    headers: { "x-goog-api-key": "gemini-key-0123456789" },
  });
  expect(request!.headers.authorization).toBeUndefined();
  expect(JSON.parse(request!.body.toString())).toMatchObject({
    contents: [{ role: "user", parts: [{ text: "hello" }] }],
    generationConfig: { maxOutputTokens: 200 },
  });
  expect(await rowOf(scene, answer)).toMatchObject({
    outcome: "ok",
    usage_source: "provider",
    input_tokens: 100n,
    cached_input_tokens: 40n,
    output_tokens: 50n,
    reasoning_tokens: 30n,
    cost_nanos: cost,
  });
});

test("a stream is asked for by its method and is whole when a piece tells why it ended", async () => {
  streamWith([piece("Hel"), piece("lo."), { ...piece("", { finishReason: "STOP" }) }]);
  const answer = await ask("chat/completions", { stream: true });
  const said = await answer.text();
  expect(provider.received[0]!.path).toBe("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
  expect(said).toContain('"content":"Hel"');
  expect(said).toMatch(/data: \[DONE\]\n\n$/);
  expect(await rowOf(scene, answer)).toMatchObject({
    outcome: "ok",
    usage_source: "provider",
    output_tokens: 50n,
    cost_nanos: cost,
  });
});

test("a stream that ends without a reason is told as broken, and billed for what was seen", async () => {
  streamWith([piece("Hel"), piece("lo")]);
  const answer = await ask("messages", { stream: true });
  const said = await answer.text();
  expect(said).toContain("event: error");
  expect(said).not.toContain("message_stop");
  expect(await rowOf(scene, answer)).toMatchObject({
    outcome: "error",
    error_code: "upstream_failed",
    usage_source: "counted",
    input_tokens: 100n,
  });
});

test("an error in a stream ends it in the client's words", async () => {
  streamWith([piece("Hel"), { error: { code: 503, message: "overloaded", status: "UNAVAILABLE" } }]);
  const answer = await ask("chat/completions", { stream: true });
  const said = await answer.text();
  expect(said).toContain("overloaded");
  expect(said).not.toContain("[DONE]");
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "error" });
});

test.each([
  [400, "INVALID_ARGUMENT", "chat/completions", { error: { message: "no such thing", code: expect.anything() } }],
  [429, "RESOURCE_EXHAUSTED", "messages", { type: "error", error: { message: "no such thing" } }],
])("a refusal with %i is told in the client's format", async (status, name, path, shown) => {
  answerWith(status, { error: { code: status, message: "no such thing", status: name } });
  const answer = await ask(path, {});
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject(shown);
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "error", http_status: status, cost_nanos: 0n });
});

test("what was filtered is an answer with that end, not a failure", async () => {
  answerWith(200, { promptFeedback: { blockReason: "SAFETY" }, usageMetadata: { promptTokenCount: 7, totalTokenCount: 7 } });
  const answer = await ask("chat/completions", {});
  expect(await answer.json()).toMatchObject({ choices: [{ finish_reason: "content_filter" }] });
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "ok", input_tokens: 7n, output_tokens: 0n });
});
