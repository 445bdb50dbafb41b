/**
 * The samples of docs/providers, taken from the pages and run: each gateway.yaml is read as it stands, and each call is sent by curl
 * through a running gateway whose providers are at a server of this test, which wants what the real ones want.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import {
  chatAnswer,
  embeddingAnswer,
  type FakeUpstream,
  type GatewayScene,
  messagesAnswer,
  openGatewayScene,
  type ReceivedRequest,
  responsesAnswer,
  startFakeUpstream,
} from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { type GatewaySettings, parseGatewaySettings } from "../settings/gateway-settings.ts";
import { startTestGateway } from "../start-test-gateway.test.ts";
import { providerKinds } from "./provider-kinds.ts";

const run = promisify(execFile);
const folder = new URL("../../../../docs/providers/", import.meta.url);
const kinds = providerKinds.map(({ name }) => name);

interface Page {
  kind: string;
  settings: GatewaySettings;
  calls: string[];
}

function readPage(kind: string): Page {
  const text = readFileSync(new URL(`${kind}.md`, folder), "utf8");
  const samples = (fence: string) =>
    [...text.matchAll(new RegExp(`^\`\`\`${fence}\n(.*?)^\`\`\``, "gms"))].map(([, sample = ""]) => sample);
  const [yaml = "", ...more] = samples("yaml");
  if (more.length > 0) throw new Error(`${kind}.md has more than one gateway.yaml`);
  return { kind, settings: parseGatewaySettings(yaml, `${kind}.md`), calls: samples("sh") };
}

const pages = kinds.map(readPage);
const secretOf = (variable: string) => `secret-of-${variable.toLowerCase()}`;

/** What the provider of a name wants of a call, as its page at the provider says. */
interface Wanted {
  paths: string[];
  header: string;
  secret: string | undefined;
}
const bearer = (variable: string) => ({ header: "authorization", secret: `Bearer ${secretOf(variable)}` });
const none = { header: "authorization", secret: undefined };
const wanted: Record<string, Wanted> = {
  openai: {
    ...bearer("OPENAI_API_KEY"),
    paths: ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/images/generations"],
  },
  anthropic: { header: "x-api-key", secret: secretOf("ANTHROPIC_API_KEY"), paths: ["/v1/messages", "/v1/messages"] },
  google: { ...bearer("GEMINI_API_KEY"), paths: ["/v1beta/openai/chat/completions"] },
  "gemini-native": {
    header: "x-goog-api-key",
    secret: secretOf("GEMINI_API_KEY"),
    paths: ["/v1beta/models/gemini-2.5-flash:generateContent"],
  },
  bedrock: { ...bearer("AWS_BEARER_TOKEN_BEDROCK"), paths: ["/model/eu.amazon.nova-lite-v1%3A0/converse"] },
  azure: {
    header: "api-key",
    secret: secretOf("AZURE_OPENAI_API_KEY"),
    paths: ["/openai/v1/chat/completions", "/openai/v1/responses"],
  },
  "azure-deployments": {
    header: "api-key",
    secret: secretOf("AZURE_OPENAI_API_KEY"),
    paths: ["/openai/deployments/my%20gpt%20deployment/chat/completions?api-version=2024-10-21"],
  },
  mistral: { ...bearer("MISTRAL_API_KEY"), paths: ["/v1/chat/completions", "/v1/embeddings"] },
  groq: { ...bearer("GROQ_API_KEY"), paths: ["/openai/v1/chat/completions", "/openai/v1/responses"] },
  openrouter: { ...bearer("OPENROUTER_API_KEY"), paths: ["/api/v1/chat/completions"] },
  deepseek: { ...bearer("DEEPSEEK_API_KEY"), paths: ["/chat/completions"] },
  xai: { ...bearer("XAI_API_KEY"), paths: ["/v1/chat/completions", "/v1/responses"] },
  together: { ...bearer("TOGETHER_API_KEY"), paths: ["/v1/chat/completions", "/v1/images/generations"] },
  fireworks: { ...bearer("FIREWORKS_API_KEY"), paths: ["/inference/v1/chat/completions"] },
  ollama: { ...none, paths: ["/v1/chat/completions", "/v1/embeddings"] },
  vllm: { ...none, paths: ["/v1/chat/completions"] },
  "llama.cpp": { ...none, paths: ["/v1/chat/completions"] },
  "lm-studio": { ...none, paths: ["/v1/chat/completions", "/v1/embeddings"] },
  "house-models": { ...bearer("HOUSE_API_KEY"), paths: ["/api/v1/chat/completions"] },
};

/** Figures in the words of those that have words of their own. */
const figures: Record<string, object> = {
  openrouter: { prompt_tokens: 95, completion_tokens: 7, total_tokens: 102, cost: 0.00125, is_byok: false },
  deepseek: {
    prompt_tokens: 10,
    completion_tokens: 5,
    total_tokens: 15,
    prompt_cache_hit_tokens: 4,
    prompt_cache_miss_tokens: 6,
  },
  google: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 40 },
};

let scene: GatewayScene;
let gateway: RunningService;
let key: string;
const servers = new Map<string, FakeUpstream>();

/** Answers as the provider does, and refuses what it would refuse. */
function answerLike(name: string, request: ReceivedRequest) {
  const { header, secret } = wanted[name]!;
  if (request.headers[header] !== secret) return chatAnswer({ status: 401, body: `{"error":"${header}"}` });
  const body = JSON.parse(request.body.toString()) as Record<string, unknown>;
  if (name === "anthropic" && request.headers["anthropic-version"] === undefined) return chatAnswer({ status: 400 });
  if (name === "mistral" && "stream_options" in body) return chatAnswer({ status: 422 });
  if (request.path.includes("/messages")) return messagesAnswer();
  if (request.path.endsWith("/converse")) return chatAnswer({ body: JSON.stringify(converseAnswer) });
  if (request.path.endsWith(":generateContent")) return chatAnswer({ body: JSON.stringify(geminiAnswer) });
  if (request.path.endsWith("/responses")) return responsesAnswer();
  if (request.path.endsWith("/embeddings")) return embeddingAnswer();
  if (request.path.endsWith("/images/generations"))
    return chatAnswer({ body: JSON.stringify({ created: 1, data: imagesOf(body) }) });
  return chatAnswer(figures[name] ? { usage: figures[name] } : {});
}

const converseAnswer = {
  output: { message: { role: "assistant", content: [{ text: "Hello." }] } },
  stopReason: "end_turn",
  usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15 },
};

const geminiAnswer = {
  candidates: [{ content: { role: "model", parts: [{ text: "Hello." }] }, finishReason: "STOP" }],
  usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, thoughtsTokenCount: 25, totalTokenCount: 40 },
};

function imagesOf({ n = 1 }: { n?: unknown }): object[] {
  return Array.from({ length: Number(n) }, () => ({ b64_json: "AAAA" }));
}

beforeAll(async () => {
  scene = await openGatewayScene();
  const [first] = pages;
  const merged: GatewaySettings = { ...first!.settings, providers: [], models: [], routes: [] };
  const secrets: Record<string, string> = {};
  for (const { settings } of pages) {
    for (const provider of settings.providers) {
      const server = await startFakeUpstream((response, request) => answerLike(provider.name, request)(response, request));
      servers.set(provider.name, server);
      // The address alone is another: the path below it is the provider's.
      const baseUrl = new URL(server.baseUrl).origin + new URL(provider.baseUrl).pathname.replace(/\/$/, "");
      merged.providers.push({ ...provider, baseUrl, allowsPrivateNetwork: true });
      if (provider.secret && "env" in provider.secret) secrets[provider.secret.env] = secretOf(provider.secret.env);
    }
    merged.models.push(...settings.models);
  }
  gateway = await startTestGateway(scene, { config: { NEXUS_GATEWAY_CONFIG: merged }, secrets });
  ({ key } = await scene.issueKey({ budgetNanos: 10n ** 12n }));
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([...servers.values()].map((server) => server.close()));
  await scene.close();
});

test("every kind of provider has a page, and the pages name no provider or model twice", () => {
  const files = readdirSync(folder).filter((file) => file.endsWith(".md") && file !== "README.md");
  expect(files.toSorted()).toEqual(kinds.map((kind) => `${kind}.md`).toSorted());
  const names = pages.flatMap(({ settings }) => settings.providers.map(({ name }) => name));
  const models = pages.flatMap(({ settings }) => settings.models.map(({ id }) => id));
  expect([new Set(names).size, new Set(models).size]).toEqual([names.length, models.length]);
  expect(names.toSorted()).toEqual(Object.keys(wanted).toSorted());
  const index = readFileSync(new URL("README.md", folder), "utf8");
  for (const kind of kinds) expect(index).toContain(`(${kind}.md) | \`${kind}\` |`);
});

describe.each(pages)("$kind", ({ settings, calls }) => {
  const names = settings.providers.map(({ name }) => name);

  test("the calls of its page reach the provider as it wants them, and are charged", async () => {
    expect(calls.length).toBeGreaterThan(0);
    for (const call of calls) {
      const command = call.replaceAll("http://localhost:3002", gateway.url).replace("curl -sS", "curl -sS -i");
      const { stdout } = await run("sh", ["-c", command], { env: { ...process.env, KEY: key } });
      const [head = "", text = ""] = stdout.split("\r\n\r\n");
      expect([head.split("\r\n")[0], text]).toEqual(["HTTP/1.1 200 OK", expect.any(String)]);
      const answer = JSON.parse(text) as Record<string, unknown>;
      expect(answer["choices"] ?? answer["content"] ?? answer["output"] ?? answer["data"]).toBeInstanceOf(Array);
      const asked = (JSON.parse(/-d '(.*)'/s.exec(call)?.[1] ?? "{}") as { model: string }).model;
      const model = settings.models.find(({ id }) => id === asked)!;
      const cost = BigInt(/^x-nexus-cost-nanos: (\d+)/im.exec(head)?.[1] ?? "0");
      expect(cost > 0n).toBe(model.price !== "free");
    }
    for (const name of names) expect(servers.get(name)!.received.map(({ path }) => path)).toEqual(wanted[name]!.paths);
  });

  test("what it is sent names its model and a cap in its own words", () => {
    for (const name of names) {
      const provider = settings.providers.find((one) => one.name === name)!;
      for (const { path, body } of servers.get(name)!.received.filter((one) => one.path.includes("/chat/completions"))) {
        const sent = JSON.parse(body.toString()) as Record<string, unknown>;
        const model = settings.models.find(({ upstreamModel }) => upstreamModel === sent["model"]);
        expect([path, model?.provider]).toEqual([path, name]);
        if (model?.price === "free") continue;
        const other = provider.outputCapField === "max_tokens" ? "max_completion_tokens" : "max_tokens";
        expect([sent[provider.outputCapField], sent[other]]).toEqual([expect.any(Number), undefined]);
      }
    }
  });
});

test("OpenRouter's own cost is charged, Google's thoughts are output, images are charged by the piece", async () => {
  const ask = async (path: string, body: object) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(gateway.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    await answer.text();
    return answer.headers.get("x-nexus-cost-nanos");
  };
  const messages = [{ role: "user", content: "hello" }];
  expect(await ask("/v1/chat/completions", { model: "router-claude", messages })).toBe("1250000");
  expect(await ask("/v1/chat/completions", { model: "gemini-flash", messages })).toBe(String(10 * 300 + 30 * 2500));
  expect(await ask("/v1/images/generations", { model: "flux", prompt: "a cat", n: 2 })).toBe("20000000");
});
