import { type FakeUpstream, type GatewayScene, openGatewayScene, startFakeUpstream } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, rowOf, startTestGateway } from "../start-test-gateway.test.ts";
import { eventMessage } from "./event-message.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let key: string;

const usage = { inputTokens: 60, cacheReadInputTokens: 40, cacheWriteInputTokens: 0, outputTokens: 50, totalTokens: 150 };
/** 60 plain and 40 cached in, 50 out. */
const cost = 60n * 1000n + 40n * 500n + 50n * 10_000n;
const whole = {
  output: { message: { role: "assistant", content: [{ text: "Hello." }] } },
  stopReason: "end_turn",
  usage,
  metrics: { latencyMs: 5 },
};

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const yaml = `
providers:
  bedrock: { kind: amazon-bedrock, base_url: "${provider.baseUrl}/..", allow_private_network: true, api_key_env: BEDROCK_KEY }
models:
  - id: nova
    provider: bedrock
    upstream_model: eu.amazon.nova-lite-v1:0
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", cached_input: "0.5", source: test, effective: 2026-01-01 }
`;
  gateway = await startTestGateway(scene, { yaml, secrets: { BEDROCK_KEY: "bedrock-key-0123456789" } });
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
/** Each piece in a write of its own. */
const streamWith = (pieces: readonly Buffer[], { hangs = false } = {}) =>
  provider.answerWith((response) => {
    response.writeHead(200, { "content-type": "application/vnd.amazon.eventstream" });
    for (const piece of pieces) response.write(piece);
    if (!hangs) response.end();
  });
const ask = (path: string, body: object = {}) =>
  post(`${gateway.url}/v1/${path}`, key, {
    model: "nova",
    max_tokens: 200,
    messages: [{ role: "user", content: "hello" }],
    ...body,
  });
const delta = (text: string) => eventMessage("contentBlockDelta", { contentBlockIndex: 0, delta: { text } });
const begin = eventMessage("messageStart", { role: "assistant" });
const stop = eventMessage("messageStop", { stopReason: "end_turn" });
const metadata = eventMessage("metadata", { usage, metrics: { latencyMs: 5 } });

test("the model stands in the path, the cap in its config, and cached input is charged at its own rate", async () => {
  answerWith(200, whole);
  const answer = await ask("chat/completions");
  expect(await answer.json()).toMatchObject({
    choices: [{ message: { content: "Hello." }, finish_reason: "stop" }],
    usage: { prompt_tokens: 100, completion_tokens: 50 },
  });
  const [request] = provider.received;
  expect(request!.path).toMatch(/\/model\/eu\.amazon\.nova-lite-v1%3A0\/converse$/);
  expect(request!.headers.authorization).toBe("Bearer bedrock-key-0123456789");
  expect(JSON.parse(request!.body.toString())).toEqual({
    messages: [{ role: "user", content: [{ text: "hello" }] }],
    inferenceConfig: { maxTokens: 200 },
  });
  expect(await rowOf(scene, answer)).toMatchObject({
    outcome: "ok",
    usage_source: "provider",
    input_tokens: 100n,
    cost_nanos: cost,
  });
});

test.each(["chat/completions", "messages", "responses"])(
  "a binary stream comes to a client of %s in its own events",
  async (path) => {
    streamWith([begin, delta("Hel"), delta("lo."), stop, metadata]);
    const answer = await ask(path, {
      stream: true,
      ...(path === "responses" ? { input: "hello", messages: undefined, max_tokens: undefined } : {}),
    });
    const said = await answer.text();
    expect(answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(said).toContain("Hel");
    const end = {
      "chat/completions": /data: \[DONE\]\n\n$/,
      messages: /event: message_stop\n.*\n\n$/,
      responses: /event: response\.completed\n/,
    };
    expect(said).toMatch(end[path as keyof typeof end]);
    expect(provider.received[0]!.path).toMatch(/\/converse-stream$/);
    expect(await rowOf(scene, answer)).toMatchObject({
      outcome: "ok",
      usage_source: "provider",
      output_tokens: 50n,
      cost_nanos: cost,
    });
  },
);

test("nothing is lost where a message is cut in the middle, and nothing waits for the next one", async () => {
  const bytes = Buffer.concat([begin, delta("Hel")]);
  provider.answerWith(async (response) => {
    response.writeHead(200, { "content-type": "application/vnd.amazon.eventstream" });
    for (let at = 0; at < bytes.length; at += 11) {
      response.write(bytes.subarray(at, at + 11));
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  const answer = await ask("chat/completions", { stream: true });
  const reader = answer.body!.getReader();
  let said = "";
  while (!said.includes('"Hel"')) said += Buffer.from((await reader.read()).value ?? []).toString();
  await reader.cancel();
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "aborted", usage_source: "counted" });
});

test.each([
  ["an exception", eventMessage("throttlingException", { message: "slow down" }, { kind: "exception" })],
  ["a false checksum", Buffer.concat([delta("lo").subarray(0, -1), Buffer.from([1])])],
  ["half of a message", delta("lo").subarray(0, 30)],
  ["no end", Buffer.alloc(0)],
])("%s in a stream is told as an error, and what was seen is billed", async (_, bad) => {
  streamWith([begin, delta("Hel"), ...(bad.length > 0 ? [bad] : [])]);
  const answer = await ask("messages", { stream: true });
  const said = await answer.text();
  expect(said).toContain("event: error");
  expect(said).not.toContain("message_stop");
  const row = await rowOf(scene, answer);
  expect(row).toMatchObject({ outcome: "error", error_code: "upstream_failed", usage_source: "counted" });
  expect(row.cost_nanos).toBeGreaterThan(0n);
});

test.each([
  [400, "ValidationException"],
  [429, "ThrottlingException"],
])("a refusal with %i is told in the client's format, and nothing is charged", async (status, kind) => {
  provider.answerWith((response) => {
    response.writeHead(status, { "content-type": "application/json", "x-amzn-errortype": kind });
    response.end(JSON.stringify({ message: "no such thing" }));
  });
  const answer = await ask("chat/completions");
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ error: { message: "no such thing" } });
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "error", http_status: status, cost_nanos: 0n });
});

test("a picture's address is refused by its place, as Bedrock fetches none", async () => {
  const content = [{ type: "image_url", image_url: { url: "https://pictures.example/quay.png" } }];
  const answer = await ask("chat/completions", { messages: [{ role: "user", content }] });
  expect(answer.status).toBe(422);
  expect(await answer.text()).toContain("Bedrock fetches no address");
  expect(provider.received).toHaveLength(0);
});
