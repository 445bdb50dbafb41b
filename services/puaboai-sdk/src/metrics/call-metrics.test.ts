import { createMetrics } from "@nexus/telemetry";
import {
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  htmlError,
  openGatewayScene,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Model } from "../catalogue/catalogue.ts";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";
import { openCallMetrics } from "./call-metrics.ts";
import { providerNameOf } from "./gen-ai.ts";

let scene: GatewayScene;
let good: FakeUpstream;
let bad: FakeUpstream;
let gateway: RunningService;
let key: string;

beforeAll(async () => {
  [scene, good, bad] = await Promise.all([openGatewayScene(), startFakeUpstream(), startFakeUpstream()]);
  const price = `{ unit: usd_per_million_tokens, input: "1000", output: "2000", source: test, effective: 2026-01-01 }`;
  const fields = `kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: ${price}`;
  const yaml = `providers:
  good: { base_url: "${good.baseUrl}", allow_private_network: true }
  bad: { base_url: "${bad.baseUrl}", allow_private_network: true }
models:
  - { id: paid, provider: good, upstream_model: their-paid, ${fields} }
  - { id: broken, provider: bad, ${fields} }
routes:
  smart: { targets: [broken, paid] }
`;
  gateway = await startTestGateway(scene, { yaml });
  ({ key } = await scene.issueKey({ budgetNanos: 10n ** 12n }));
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([good.close(), bad.close()]);
  await scene.close();
});
beforeEach(() => {
  good.answerWith(chatAnswer());
  bad.answerWith(htmlError(503));
});

async function call(model: string, more: object = {}): Promise<number> {
  const answer = await post(`${gateway.url}/v1/chat/completions`, key, {
    model,
    messages: [{ role: "user", content: "one two" }],
    max_tokens: 10,
    ...more,
  });
  await answer.arrayBuffer();
  return answer.status;
}

/** The sum of all series of a metric whose labels hold all of these. */
async function figure(name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`))
    .filter((line) => Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

const paid = {
  gen_ai_operation_name: "chat",
  gen_ai_provider_name: "good",
  gen_ai_request_model: "paid",
  gen_ai_response_model: "their-paid",
};

test("a call is counted once under the conventional names: time, tokens, cost and what we add", async () => {
  expect(await call("paid")).toBe(200);
  expect(await figure("gen_ai_client_operation_duration_seconds_count", paid)).toBe(1);
  expect(await figure("gen_ai_client_token_usage_sum", { ...paid, gen_ai_token_type: "input" })).toBe(11);
  expect(await figure("gen_ai_client_token_usage_sum", { ...paid, gen_ai_token_type: "output" })).toBe(7);
  expect(await figure("nexus_gateway_cost_usd_total", paid)).toBeCloseTo(0.011 + 0.014, 9);
  expect(await figure("nexus_gateway_overhead_seconds_count", paid)).toBe(1);
  expect(await figure("gen_ai_server_time_to_first_token_seconds_count", paid)).toBe(0);
  good.answerWith(chatStream({ firstDelayMs: 60 }));
  expect(await call("paid", { stream: true })).toBe(200);
  expect(await figure("gen_ai_server_time_to_first_token_seconds_count", paid)).toBe(1);
  expect(await figure("gen_ai_server_time_to_first_token_seconds_sum", paid)).toBeGreaterThan(0.05);
  // The provider's time is not ours.
  expect(await figure("nexus_gateway_overhead_seconds_sum", paid)).toBeLessThan(
    await figure("gen_ai_client_operation_duration_seconds_sum", paid),
  );
});

test("a failed attempt has its error type, and the fallback is counted where it went", async () => {
  const before = await figure("nexus_gateway_fallbacks_total", { gen_ai_request_model: "paid" });
  expect(await call("smart")).toBe(200);
  expect(
    await figure("gen_ai_client_operation_duration_seconds_count", {
      gen_ai_request_model: "broken",
      error_type: "upstream_failed",
    }),
  ).toBe(1);
  expect(await figure("nexus_gateway_fallbacks_total", { gen_ai_request_model: "paid" })).toBe(before + 1);
  expect(await figure("nexus_gateway_cost_usd_total", { gen_ai_request_model: "broken" })).toBe(0);
});

test("what a client or a provider writes makes no series", async () => {
  good.answerWith(
    chatAnswer({ body: JSON.stringify({ model: "made-up-by-provider", choices: [], usage: { prompt_tokens: 1 } }) }),
  );
  await call("paid");
  for (let made = 0; made < 20; made++) await call(`made-up-${made}`);
  await waitFor(async () => (await figure("gen_ai_client_operation_duration_seconds_count")) > 0);
  const text = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
  expect(text).not.toContain("made-up");
  expect(text).not.toContain(key);
});

test("known providers are called by their conventional names, others as they are configured", () => {
  expect(providerNameOf("https://api.openai.com/v1", "mine")).toBe("openai");
  expect(providerNameOf("https://team.openai.azure.com/openai/v1", "mine")).toBe("azure.ai.openai");
  expect(providerNameOf("https://generativelanguage.googleapis.com/v1beta/openai", "mine")).toBe("gcp.gemini");
  expect(providerNameOf("https://api.openai.com.evil.example/v1", "mine")).toBe("mine");
  expect(providerNameOf(undefined, "nexus")).toBe("nexus");
});

test("series of models that are gone go with them, and counting costs next to nothing", async () => {
  const metrics = createMetrics({ service: "test" });
  const measured = openCallMetrics(metrics);
  const model = { id: "m", provider: "p", upstreamModel: "u", upstream: { settings: { baseUrl: "https://x.example" } } } as Model;
  const row = {
    endpoint: "chat.completions",
    stream: true,
    outcome: "ok",
    errorCode: null,
    inputTokens: 100,
    outputTokens: 20,
    usageSource: "provider",
    cost: 5n,
  } as const;
  const times = { startedAt: 0, sentAt: 1, firstByteAt: 50, endedAt: 100 };
  const rounds = 200_000;
  const startedAt = performance.now();
  for (let round = 0; round < rounds; round++) measured.ended(model, row, times);
  const microseconds = ((performance.now() - startedAt) * 1000) / rounds;
  process.stdout.write(`${microseconds.toFixed(3)} µs a call\n`);
  // Far above what a quiet machine shows; looking up labels at each call would take several.
  expect(microseconds).toBeLessThan(5);
  expect(await metrics.registry.metrics()).toContain(`gen_ai_client_operation_duration_seconds_count`);
  measured.keepOnly([{ id: "other" }]);
  expect(await metrics.registry.metrics()).not.toContain('gen_ai_request_model="m"');
});
