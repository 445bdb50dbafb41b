/** `GET /v1/models`: what a caller may call, and what it can. */
import { type GatewayScene, openGatewayScene } from "@nexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let gateway: RunningService;

interface ShownModel {
  id: string;
  formats: { name: string; native: boolean; streaming: boolean; path: string }[];
  [field: string]: unknown;
}

beforeAll(async () => {
  scene = await openGatewayScene();
  const yaml = `
providers:
  openai: { kind: openai, api_key_env: KEY }
  claude: { kind: anthropic, api_key_env: KEY }
  own: { base_url: "http://127.0.0.1:9/v1", allow_private_network: true, wire_formats: [openai-chat, openai-images] }
models:
  - { id: gpt, provider: openai, kind: chat, upstream_model: gpt-5-mini }
  - { id: haiku, provider: claude, kind: chat, upstream_model: claude-haiku-4-5 }
  - { id: mine, provider: own, kind: chat, context_tokens: 100, max_output_tokens: 10, price: free }
  - { id: told, provider: own, kind: chat, context_tokens: 100, max_output_tokens: 10, price: unknown, capabilities: [tools, structured_output] }
  - { id: pictures, provider: own, kind: images, context_tokens: 100, max_output_tokens: 10, price: { per_image: "0.02", source: s, effective: 2026-01-01 } }
  - { id: vectors, provider: openai, kind: embeddings, context_tokens: 100, price: free }
routes:
  any: { targets: [gpt, haiku] }
  mixed: { targets: [gpt, told] }
`;
  gateway = await startTestGateway(scene, { yaml, secrets: { KEY: "k" } });
});
afterAll(async () => {
  await gateway.close();
  await scene.close();
});

async function modelsOf(key: string): Promise<Map<string, ShownModel>> {
  const answer = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  expect(answer.status).toBe(200);
  const { data } = (await answer.json()) as { data: ShownModel[] };
  return new Map(data.map((model) => [model.id, model]));
}
const shortFormats = (model: ShownModel | undefined) =>
  model?.formats.map(({ name, native, streaming }) => `${name}${native ? "" : " translated"}${streaming ? " streams" : ""}`);

test("a model is told with its limits, its price and what it can, in every format that it can be asked in", async () => {
  const models = await modelsOf((await scene.issueKey()).key);
  expect(models.get("gpt")).toMatchObject({
    context_tokens: 400_000,
    max_output_tokens: 128_000,
    price: { currency: "USD", input: "250000000" },
    capabilities: { tools: true, images_in: true, structured_output: null, reasoning: true },
  });
  expect(shortFormats(models.get("gpt"))).toEqual([
    "openai-chat streams",
    "openai-responses streams",
    "anthropic-messages translated streams",
  ]);
  expect(shortFormats(models.get("haiku"))).toEqual([
    "openai-chat translated streams",
    "openai-responses translated streams",
    "anthropic-messages streams",
  ]);
  expect(models.get("mine")).toMatchObject({
    price: "free",
    capabilities: { tools: null, images_in: null, structured_output: null, reasoning: null },
  });
  expect(models.get("told")).toMatchObject({
    price: "unknown",
    capabilities: { tools: true, images_in: false, structured_output: true, reasoning: false },
  });
  expect(models.get("pictures")).toMatchObject({ capabilities: null, price: { fees: { per_image: { default: "20000000" } } } });
  expect(shortFormats(models.get("pictures"))).toEqual(["openai-images"]);
  expect(models.get("vectors")?.formats).toEqual([
    { name: "openai-embeddings", path: "/v1/embeddings", native: true, streaming: false },
  ]);
  expect(models.get("embedded-guide")).toMatchObject({ demo: true, capabilities: { tools: false } });
  expect(shortFormats(models.get("embedded-guide"))).toEqual(["openai-chat streams"]);
});

test("a route is told with what holds whichever of its targets answers", async () => {
  const models = await modelsOf((await scene.issueKey()).key);
  expect(models.get("any")).toMatchObject({
    context_tokens: 200_000,
    price: "varies",
    capabilities: { tools: true, images_in: true, structured_output: null, reasoning: true },
    targets: ["gpt", "haiku"],
  });
  expect(shortFormats(models.get("any"))).toEqual([
    "openai-chat translated streams",
    "openai-responses translated streams",
    "anthropic-messages translated streams",
  ]);
  expect(models.get("mixed")).toMatchObject({
    context_tokens: 100,
    capabilities: { tools: true, images_in: false, reasoning: false },
  });
});

test("a key that is bound to models is told those alone", async () => {
  const { key } = await scene.issueKey({ models: ["told", "any"] });
  expect([...(await modelsOf(key)).keys()]).toEqual(["told", "any"]);
  const other = await fetch(`${gateway.url}/v1/models/gpt`, { headers: { authorization: `Bearer ${key}` } });
  expect(other.status).toBe(404);
});
