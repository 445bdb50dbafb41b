/** What is charged of a stream that ends before its figures come. */
import { chatStream, type FakeUpstream, type GatewayScene, openGatewayScene, startFakeUpstream } from "@nexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, rowOf, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let key: string;

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const price = (more: string) =>
    `{ unit: usd_per_million_tokens, input: "1", output: "10", ${more} source: t, effective: 2026-01-01 }`;
  const facts = "provider: fake, kind: chat, context_tokens: 8000, max_output_tokens: 1000";
  gateway = await startTestGateway(scene, {
    yaml: `
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true, breaker_failures: 0 }
models:
  - { id: plain, ${facts}, price: ${price("")} }
  - { id: searching, ${facts}, price: ${price('per_search: "0.01", most_searches: 3,')} }
  - { id: speaking, ${facts}, price: ${price('audio_output: "80",')} }
`,
  });
  ({ key } = await scene.issueKey({ budgetNanos: 10n ** 12n }));
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await scene.close();
});

async function charged(model: string) {
  const messages = [{ role: "user", content: "hello" }];
  const answer = await post(`${gateway.url}/v1/chat/completions`, key, { model, stream: true, messages });
  await answer.text();
  return await rowOf(scene, answer);
}

test("all searches that the model may have made are charged, and stand in the row", async () => {
  provider.answerWith(chatStream({ texts: ["a", "b", "c"], dieAfter: 2 }));
  const [plain, searching] = [await charged("plain"), await charged("searching")];
  expect(plain).toMatchObject({ outcome: "error", usage_source: "counted", units: null });
  expect(searching).toMatchObject({ outcome: "error", usage_source: "counted", units: { searches: 3 } });
  const longerName = searching.input_tokens - plain.input_tokens;
  expect(searching.cost_nanos).toBe(plain.cost_nanos + longerName * 1000n + 3n * 10_000_000n);
});

test("a provider's own figures are charged as they are", async () => {
  provider.answerWith(chatStream({ texts: ["a"] }));
  expect(await charged("searching")).toMatchObject({ outcome: "ok", cost_nanos: 81_000n, units: null });
});

test("spoken output is charged as such, and written output of the same model is not", async () => {
  const told = (delta: object) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`;
  const breakingOff = (delta: object) =>
    provider.answerWith((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(told(delta), () => response.destroy());
    });
  breakingOff({ audio: { data: "AAAA" } });
  const spoken = await charged("speaking");
  const { input_tokens: input, output_tokens: output } = spoken;
  expect(spoken).toMatchObject({ usage_source: "counted", units: { audio_output_tokens: Number(output) } });
  expect(spoken.cost_nanos).toBe(input * 1000n + output * 80_000n);
  breakingOff({ content: 'she said "audio"' });
  const written = await charged("speaking");
  expect(written.units).toBeNull();
  expect(written.cost_nanos).toBe(written.input_tokens * 1000n + written.output_tokens * 10_000n);
});
