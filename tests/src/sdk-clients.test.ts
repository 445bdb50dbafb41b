/**
 * Frameworks that people build with, unmodified, against the gateway, and an independent stand-in for the providers behind it. Each
 * asks for the same: text, a stream, tools called in parallel, an object, an image in, an error, and an end before the end.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { LLMock } from "@copilotkit/aimock";
import { HumanMessage } from "@langchain/core/messages";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { waitFor } from "@nexus/testing";
import { APICallError, embedMany, generateText, type LanguageModel, Output, stepCountIs, streamText, tool } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, signIn } from "./session.ts";

const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const directory = mkdtempSync(join(tmpdir(), "nexus-sdks-"));
let platform: PlatformProcess;
let provider: LLMock;
let secret: string;

beforeAll(async () => {
  provider = new LLMock({ port: 0, latency: 5, chunkSize: 4 });
  const toolCalls = ["Oslo", "Rome"].map((city, n) => ({
    id: `call_${n}`,
    name: "weather",
    arguments: JSON.stringify({ city }),
  }));
  provider.on({ userMessage: "weather", hasToolResult: false }, { toolCalls });
  provider.on({ userMessage: "weather", hasToolResult: true }, { content: "Cold in Oslo, warm in Rome." });
  const ada = { id: "call_ada", name: "response", arguments: JSON.stringify({ name: "Ada", age: 36 }) };
  const forced = (request: { tool_choice?: unknown }) => typeof request.tool_choice === "object";
  provider.on({ userMessage: "as an object", predicate: forced }, { toolCalls: [ada] });
  provider.onMessage("as an object", { content: JSON.stringify({ name: "Ada", age: 36 }) });
  provider.onMessage("in the picture", { content: "A red dot." });
  provider.onMessage("without end", { content: "word ".repeat(2000) });
  // In the words of each format: figures that are all zero would be none.
  const usage = { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, input_tokens: 9, output_tokens: 5 };
  provider.onMessage("hello", { content: "Hello from the provider.", usage });
  provider.onEmbedding(/./, { embedding: [0.5, -0.5, 0.25] });
  await provider.start();
  const settings = join(directory, "gateway.yaml");
  const limits = "context_tokens: 100000, max_output_tokens: 10000, price: free";
  writeFileSync(
    settings,
    `
providers:
  mock:
    base_url: "${provider.url}/v1"
    allow_private_network: true
    wire_formats: [openai-chat, openai-embeddings, openai-responses, anthropic-messages]
  claude-only: { base_url: "${provider.url}/v1", allow_private_network: true, wire_formats: [anthropic-messages] }
  chat-only: { base_url: "${provider.url}/v1", allow_private_network: true }
  responses-only: { base_url: "${provider.url}/v1", allow_private_network: true, wire_formats: [openai-responses] }
  gemini-only: { base_url: "${provider.url}/v1beta", allow_private_network: true, wire_formats: [gemini] }
models:
  - { id: gemini-only, provider: gemini-only, upstream_model: gemini-2.5-flash, kind: chat, ${limits} }
  - { id: chat-only, provider: chat-only, upstream_model: gpt-4o, kind: chat, ${limits} }
  - { id: responses-only, provider: responses-only, upstream_model: gpt-4o, kind: chat, ${limits} }
  - { id: claude-only, provider: claude-only, upstream_model: claude-sonnet-4-5, kind: chat, ${limits} }
  - { id: gpt-4o, provider: mock, kind: chat, ${limits} }
  - { id: claude-sonnet-4-5, provider: mock, kind: chat, ${limits} }
  - { id: text-embedding-3-small, provider: mock, kind: embeddings, context_tokens: 8192, price: free }
`,
  );
  platform = await startPlatform({
    env: { ...headless, NEXUS_GATEWAY_CONFIG: settings, NEXUS_FIND_LOCAL_MODELS: "false" },
  });
  ({ secret } = await makeKey(platform, await signIn(platform)));
});
afterAll(async () => {
  await stopPlatform(platform);
  await provider.stop();
  rmSync(directory, { recursive: true });
});

const baseURL = (): string => `${platform.urls.ai}/v1`;
const openai = () => createOpenAI({ baseURL: baseURL(), apiKey: secret });
const anthropic = () => createAnthropic({ baseURL: baseURL(), apiKey: secret });
/** Each client on a model whose provider speaks its format, and on those whose providers speak another one alone. */
const models: [string, string, () => LanguageModel][] = [
  ...["gpt-4o", "claude-only", "responses-only", "gemini-only"].map((model): [string, string, () => LanguageModel] => [
    `@ai-sdk/openai, chat, on ${model}`,
    "chat.completions",
    () => openai().chat(model),
  ]),
  ...["gpt-4o", "claude-only", "chat-only", "gemini-only"].map((model): [string, string, () => LanguageModel] => [
    `@ai-sdk/openai, responses, on ${model}`,
    "responses",
    () => openai().responses(model),
  ]),
  ...["claude-sonnet-4-5", "chat-only", "responses-only", "gemini-only"].map((model): [string, string, () => LanguageModel] => [
    `@ai-sdk/anthropic on ${model}`,
    "messages",
    () => anthropic()(model),
  ]),
];

describe.each(models)("ai with %s", (_, endpoint, model) => {
  const weather = tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => Promise.resolve(city === "Oslo" ? "cold" : "warm"),
  });

  it("generates text, whose figures are those of the usage row", async () => {
    const { text, usage, response } = await generateText({ model: model(), prompt: "Say hello." });
    expect(text).toBe("Hello from the provider.");
    const row = await rowOf(response.headers?.["x-request-id"]);
    expect(row).toMatchObject({ endpoint, outcome: "ok", usage_source: "provider" });
    expect([row.input_tokens, row.output_tokens]).toEqual([usage.inputTokens, usage.outputTokens]);
  });

  it("streams text in pieces", async () => {
    const pieces: string[] = [];
    const { textStream, usage, response } = streamText({ model: model(), prompt: "Say hello." });
    for await (const piece of textStream) pieces.push(piece);
    expect(pieces.join("")).toBe("Hello from the provider.");
    expect(pieces.length).toBeGreaterThan(3);
    const row = await rowOf((await response).headers?.["x-request-id"]);
    expect(row).toMatchObject({ endpoint, outcome: "ok", usage_source: "provider" });
    expect([row.input_tokens, row.output_tokens]).toEqual([(await usage).inputTokens, (await usage).outputTokens]);
  });

  it.each(["whole", "streamed"])("calls tools in parallel and goes on with their results, %s", async (how) => {
    const asked = { model: model(), tools: { weather }, stopWhen: stepCountIs(3), prompt: "What is the weather like?" };
    const steps = how === "whole" ? (await generateText(asked)).steps : await streamText(asked).steps;
    expect(steps[0]?.toolCalls.map(({ input }) => input)).toEqual([{ city: "Oslo" }, { city: "Rome" }]);
    expect(steps.at(-1)?.text).toBe("Cold in Oslo, warm in Rome.");
  });

  it("gets an object that fits its schema", async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    const { output } = await generateText({
      model: model(),
      output: Output.object({ schema }),
      prompt: "A person as an object.",
    });
    expect(output).toEqual({ name: "Ada", age: 36 });
  });

  it("sends an image", async () => {
    const content = [
      { type: "text" as const, text: "What is in the picture?" },
      { type: "image" as const, image: png, mediaType: "image/png" },
    ];
    const { text } = await generateText({ model: model(), messages: [{ role: "user", content }] });
    expect(text).toBe("A red dot.");
    // The stand-in keeps the words of a request alone, and its length.
    expect(Number(provider.getLastRequest()?.headers["content-length"])).toBeGreaterThan(png.length);
  });

  it("throws the provider's refusal, and ours", async () => {
    provider.nextRequestError(429, { message: "slow down", type: "rate_limit_error" });
    const refused = await failureOf(generateText({ model: model(), prompt: "Say hello.", maxRetries: 0 }));
    expect(refused).toMatchObject({ statusCode: 429, isRetryable: true });
    provider.nextRequestError(500, { message: "secret host 10.1.2.3" });
    const failed = await failureOf(generateText({ model: model(), prompt: "Say hello.", maxRetries: 0 }));
    expect(failed.statusCode).toBe(502);
    expect(failed.responseBody).toContain("upstream_failed");
    expect(failed.responseBody).not.toContain("10.1.2.3");
  });

  it("ends a stream before its end", async () => {
    const abort = new AbortController();
    let pieces = 0;
    const { fullStream } = streamText({ model: model(), prompt: "Write without end.", abortSignal: abort.signal });
    for await (const part of fullStream) if (part.type === "text-delta" && ++pieces === 3) abort.abort();
    expect(pieces).toBeLessThan(100);
    await waitFor(async () => (await rows())[0]?.outcome === "aborted");
  });
});

describe.each(["gpt-4o", "claude-only"])("@langchain/openai with %s", (model) => {
  const chat = (): ChatOpenAI => new ChatOpenAI({ model, apiKey: secret, maxRetries: 0, configuration: { baseURL: baseURL() } });

  it("answers, whole and streamed", async () => {
    expect((await chat().invoke("Say hello.")).text).toBe("Hello from the provider.");
    let text = "";
    for await (const piece of await chat().stream("Say hello.")) text += piece.text;
    expect(text).toBe("Hello from the provider.");
  });

  it("calls tools, and gets an object", async () => {
    const schema = z.object({ city: z.string() });
    const weather = langchainTool(() => "cold", { name: "weather", description: "The weather of a city", schema });
    const { tool_calls: calls } = await chat().bindTools([weather]).invoke("What is the weather like?");
    expect(calls?.map(({ name, args }) => [name, args])).toEqual([
      ["weather", { city: "Oslo" }],
      ["weather", { city: "Rome" }],
    ]);
    const person = z.object({ name: z.string(), age: z.number() });
    const structured = chat().withStructuredOutput(person, { method: "jsonSchema" });
    expect(await structured.invoke("A person as an object.")).toEqual({ name: "Ada", age: 36 });
  });

  it("sends an image and embeds", async () => {
    const content = [
      { type: "text", text: "What is in the picture?" },
      { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } },
    ];
    expect((await chat().invoke([new HumanMessage({ content })])).text).toBe("A red dot.");
    const embeddings = new OpenAIEmbeddings({
      model: "text-embedding-3-small",
      apiKey: secret,
      encodingFormat: "float",
      configuration: { baseURL: baseURL() },
    });
    expect(await embeddings.embedQuery("x")).toEqual([0.5, -0.5, 0.25]);
  });
});

it("ai embeds many", async () => {
  const model = createOpenAI({ baseURL: baseURL(), apiKey: secret }).embedding("text-embedding-3-small");
  const { embeddings } = await embedMany({ model, values: ["a"] });
  expect(embeddings).toEqual([[0.5, -0.5, 0.25]]);
});

interface UsageRow {
  request_id: string;
  endpoint: string;
  outcome: string;
  input_tokens: number;
  output_tokens: number;
  usage_source: string;
}

async function rows(): Promise<UsageRow[]> {
  const answer = await fetch(`${platform.urls.ai}/v1/usage`, { headers: bearer(secret) });
  return ((await answer.json()) as { data: UsageRow[] }).data;
}

async function rowOf(requestId: string | undefined): Promise<UsageRow> {
  return await waitFor(async () => (await rows()).find((row) => row.request_id === requestId));
}

async function failureOf(call: PromiseLike<unknown>): Promise<APICallError> {
  try {
    await call;
  } catch (error) {
    if (APICallError.isInstance(error)) return error;
    throw error;
  }
  return expect.unreachable();
}
