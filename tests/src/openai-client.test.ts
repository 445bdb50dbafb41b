/** The unmodified official client of OpenAI against the gateway: only base URL and key are ours. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  chatAnswer,
  chatStream,
  embeddingAnswer,
  type FakeUpstream,
  htmlError,
  responsesAnswer,
  silence,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import OpenAI, {
  type APIError,
  AuthenticationError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  UnprocessableEntityError,
} from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, signIn, tokenFor } from "./session.ts";

let platform: PlatformProcess;
let provider: FakeUpstream;
let cookie: string;
let client: OpenAI;
const directory = mkdtempSync(join(tmpdir(), "nexus-openai-"));
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: "say hello" }];

beforeAll(async () => {
  provider = await startFakeUpstream();
  const settings = join(directory, "gateway.yaml");
  writeFileSync(
    settings,
    `
providers:
  fake:
    base_url: "${provider.baseUrl}"
    allow_private_network: true
    api_key_env: FAKE_PROVIDER_KEY
    first_byte_timeout_ms: 500
    wire_formats: [openai-chat, openai-embeddings, openai-responses, openai-moderations, openai-images]
models:
  - { id: remote, provider: fake, upstream_model: fake-model, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
  - { id: remote-embedding, provider: fake, kind: embeddings, context_tokens: 8000, price: free }
  - { id: judge, provider: fake, upstream_model: fake-judge, kind: moderations, context_tokens: 8000, price: free }
  - id: painter
    provider: fake
    kind: images
    context_tokens: 8000
    max_output_tokens: 6000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }
  - id: priced
    provider: fake
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }
`,
  );
  platform = await startPlatform({
    env: {
      ...headless,
      NEXUS_GATEWAY_CONFIG: settings,
      FAKE_PROVIDER_KEY: "provider-key-0123456789",
      NEXUS_FIND_LOCAL_MODELS: "false",
    },
  });
  cookie = await signIn(platform);
  client = clientWith((await makeKey(platform, cookie)).secret);
});
afterAll(async () => {
  await stopPlatform(platform);
  await provider.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  provider.answerWith(chatAnswer());
});

function clientWith(apiKey: string): OpenAI {
  return new OpenAI({ baseURL: `${platform.urls.ai}/v1`, apiKey, maxRetries: 0 });
}

/** What the client throws for a call that must fail. */
async function errorOf(call: Promise<unknown>): Promise<APIError> {
  return await call.then(
    () => expect.unreachable(),
    (error: unknown) => error as APIError,
  );
}

describe("OpenAI's client", () => {
  it("lists and reads models", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toEqual([
      "remote",
      "remote-embedding",
      "judge",
      "painter",
      "priced",
      "embedded-guide",
      "embedded-echo",
      "use-lite-en-512",
      "embedded-moderation",
    ]);
    expect(await client.models.retrieve("embedded-echo")).toMatchObject({
      id: "embedded-echo",
      object: "model",
      owned_by: "nexus",
    });
  });

  it.each(["remote", "embedded-echo"])("chats with %s", async (model) => {
    const { data, request_id: requestId, response } = await client.chat.completions.create({ model, messages }).withResponse();
    expect(data.choices[0]?.message.content).toBe(model === "remote" ? "hello" : "say hello");
    expect(data.choices[0]?.finish_reason).toBe("stop");
    expect(data.usage?.total_tokens).toBeGreaterThan(0);
    expect(requestId).toBe(response.headers.get("x-request-id"));
    expect(requestId).toMatch(/^req_/);
  });

  it.each(["remote", "embedded-echo"])("streams from %s, with usage when asked", async (model) => {
    provider.answerWith(chatStream({ pieceBytes: 7 }));
    const stream = await client.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(model === "remote" ? "hello" : "say hello");
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
  });

  it("puts a stream together with its own helper", async () => {
    provider.answerWith(chatStream());
    const stream = client.chat.completions.stream({ model: "remote", messages });
    expect(await stream.finalContent()).toBe("hello");
  });

  it("stops a stream, and the provider hears of it", async () => {
    provider.answerWith(chatStream({ texts: Array.from({ length: 500 }, () => "x"), delayMs: 10 }));
    const received = provider.received.length;
    const stream = await client.chat.completions.create({ model: "remote", messages, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await waitFor(() => provider.received[received]?.abortedAt !== undefined);
  });

  it("embeds, in the encoding that it asks for by itself", async () => {
    const two = await client.embeddings.create({ model: "use-lite-en-512", input: ["a cat", "a dog"] });
    expect(two.data.map((item) => item.embedding.length)).toEqual([512, 512]);
    expect(Math.hypot(...(two.data[0]?.embedding ?? []))).toBeCloseTo(1, 3);
    const float = await client.embeddings.create({ model: "use-lite-en-512", input: "a cat", encoding_format: "float" });
    expect(float.data[0]?.embedding[0]).toBeCloseTo(two.data[0]?.embedding[0] ?? Number.NaN, 5);
    provider.answerWith(embeddingAnswer());
    const remote = await client.embeddings.create({ model: "remote-embedding", input: "x", encoding_format: "float" });
    expect(remote.data[0]?.embedding).toEqual([0.25, -0.5]);
  });

  it("gets what it does not know through in both directions", async () => {
    const body = { model: "remote", messages, seed: 7, reasoning_effort: "low" as const, my_own: { a: [1.5] } };
    provider.answerWith(
      chatAnswer({ body: '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1},"your_own":[1,2]}' }),
    );
    const answer = await client.chat.completions.create(body as OpenAI.ChatCompletionCreateParamsNonStreaming);
    expect(answer).toMatchObject({ your_own: [1, 2] });
    expect(JSON.parse(provider.received.at(-1)?.body.toString() ?? "")).toEqual({ ...body, model: "fake-model" });
  });
});

/** The row of a request, when it is there. */
async function rowOf(token: string, requestId: string | null): Promise<{ cost_nanos: string; organization_id: string }> {
  return await waitFor(async () => {
    const answer = await fetch(`${platform.urls.ai}/v1/usage`, { headers: bearer(token) });
    const { data } = (await answer.json()) as { data: { request_id: string; cost_nanos: string; organization_id: string }[] };
    return data.find((row) => row.request_id === requestId);
  });
}

async function allowSpending(token: string): Promise<void> {
  const { request_id: id } = await client.chat.completions.create({ model: "remote", messages }).withResponse();
  const { organization_id: organization } = await rowOf(token, id);
  const put = await fetch(`${platform.urls.ai}/v1/admin/budgets/${organization}`, {
    method: "PUT",
    headers: { ...bearer(token), "content-type": "application/json" },
    body: JSON.stringify({ limit_nanos: "1000000000" }),
  });
  expect(put.status).toBe(200);
}

describe("OpenAI's client, by the Responses API", () => {
  const ask = { model: "remote", input: "say hello" };

  it("gets a response, and what nobody knows goes through in both directions", async () => {
    const fields = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`unknown_${n}`, { deep: [n, null, "\u00e9"] }]));
    provider.answerWith(responsesAnswer({ more: fields }));
    const answer = await client.responses.create({ ...ask, ...fields });
    expect(answer.output_text).toBe("hello");
    expect(answer).toMatchObject({ ...fields, usage: { input_tokens: 12, output_tokens: 9 } });
    expect(provider.received.at(-1)?.path).toBe("/v1/responses");
    expect(JSON.parse(provider.received.at(-1)?.body.toString() ?? "")).toEqual({ ...ask, ...fields, model: "fake-model" });
  });

  it("streams each event as it came", async () => {
    provider.answerWith(responsesAnswer({ stream: true, texts: ["a", "b", "c"] }));
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of await client.responses.create({ ...ask, stream: true })) events.push(event);
    expect(events.map(({ sequence_number: number }) => number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(events.flatMap((event) => (event.type === "response.output_text.delta" ? event.delta : [])).join("")).toBe("abc");
  });

  it("cannot leave an answer behind that nobody counts, nor use what no budget bounds", async () => {
    expect(await errorOf(client.responses.create({ ...ask, background: true }))).toMatchObject({
      status: 422,
      param: "background",
    });
    const tools = [{ type: "web_search" as const }];
    expect(await errorOf(client.responses.create({ ...ask, model: "priced", tools }))).toMatchObject({
      status: 422,
      param: "tools",
    });
    expect((await errorOf(client.responses.create({ ...ask, model: "embedded-echo" }))).message).toContain(
      "not offered in the format",
    );
  });

  it("hears of a stream that dies", async () => {
    provider.answerWith(responsesAnswer({ stream: true, texts: ["a", "b", "c"], dieAfter: 5 }));
    const stream = await client.responses.create({ ...ask, stream: true });
    let text = "";
    const read = async (): Promise<void> => {
      for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
    };
    expect(await errorOf(read())).toMatchObject({ code: "upstream_failed" });
    expect(text).toBe("ab");
  });
});

describe("OpenAI's client throws its own class of error", () => {
  const chat = (model: string, from = client, rest: object = {}) => from.chat.completions.create({ model, messages, ...rest });

  it("for a bad key, a missing scope and an unknown model", async () => {
    expect(await errorOf(chat("remote", clientWith("pv_sk_live_nonsense")))).toBeInstanceOf(AuthenticationError);
    const narrow = await makeKey(platform, cookie, { scopes: ["ai:models"], models: ["remote"] });
    expect(await errorOf(chat("remote", clientWith(narrow.secret)))).toBeInstanceOf(PermissionDeniedError);
    const unknown = await errorOf(chat("nope"));
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({
      code: "model_not_found",
      param: "model",
      type: "invalid_request_error",
      requestID: expect.stringMatching(/^req_/),
    });
  });

  it("for a field of a wrong type", async () => {
    const error = await errorOf(chat("remote", client, { max_tokens: "many" }));
    expect(error).toBeInstanceOf(UnprocessableEntityError);
    expect(error).toMatchObject({ code: "invalid_request", param: "max_tokens" });
  });

  it("for a budget that is not there, and not once it is", async () => {
    const error = await errorOf(chat("priced"));
    expect(error).toMatchObject({ status: 402, code: "budget_exceeded", type: "insufficient_quota" });
    expect(error.error).toMatchObject({ level: "organization", limit_nanos: "0" });
    const token = await tokenFor(platform, cookie, "puaboai-sdk");
    const usage = await fetch(`${platform.urls.ai}/v1/usage`, { headers: bearer(token) });
    const { data } = (await usage.json()) as { data: { organization_id: string; request_id: string; error_code: string }[] };
    expect(data[0]).toMatchObject({ error_code: "budget_exceeded", request_id: error.requestID });
    const put = await fetch(`${platform.urls.ai}/v1/admin/budgets/${data[0]?.organization_id}`, {
      method: "PUT",
      headers: { ...bearer(token), "content-type": "application/json" },
      body: JSON.stringify({ limit_nanos: "1000000000" }),
    });
    expect(put.status).toBe(200);
    expect((await chat("priced")).choices[0]?.message.content).toBe("hello");
    for (const stream of [false, true]) {
      provider.answerWith(responsesAnswer({ stream }));
      const { data: answer, request_id: id } = await client.responses
        .create({ model: "priced", input: "x", stream })
        .withResponse();
      if (stream) for await (const _ of answer as AsyncIterable<unknown>);
      expect(JSON.parse(provider.received.at(-1)?.body.toString() ?? "")).toMatchObject({ max_output_tokens: 1000 });
      const row = await waitFor(async () => {
        const rows = (await (await fetch(`${platform.urls.ai}/v1/usage`, { headers: bearer(token) })).json()) as {
          data: object[];
        };
        return rows.data.find((one) => "request_id" in one && one.request_id === id);
      });
      // 12 × 1,000 + 9 × 10,000 nano-dollars: the reasoning is part of the output.
      expect(row).toMatchObject({ endpoint: "responses", usage_source: "provider", reasoning_tokens: 5, cost_nanos: "102000" });
    }
  });

  it("for a provider that fails, is silent, or dies in the middle of a stream", async () => {
    provider.answerWith(htmlError(500));
    expect(await errorOf(chat("remote"))).toMatchObject({ status: 502, code: "upstream_failed" });
    expect(await errorOf(chat("remote"))).toBeInstanceOf(InternalServerError);
    provider.answerWith(silence());
    expect(await errorOf(chat("remote"))).toMatchObject({ status: 504, code: "upstream_timeout" });
    provider.answerWith(chatStream({ texts: ["a", "b", "c"], dieAfter: 2 }));
    const stream = await client.chat.completions.create({ model: "remote", messages, stream: true });
    let text = "";
    const read = async (): Promise<void> => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    };
    expect(await errorOf(read())).toMatchObject({ code: "upstream_failed" });
    expect(text).toBe("ab");
  });
});

describe("OpenAI's client, beside chat", () => {
  const answerJson = (body: object) =>
    provider.answerWith((response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    });

  it("moderates with the embedded model", async () => {
    const { results } = await client.moderations.create({
      model: "embedded-moderation",
      input: ["I will kill you.", "Good morning."],
    });
    expect(results.map(({ flagged, categories }) => [flagged, categories["harassment/threatening"]])).toEqual([
      [true, true],
      [false, false],
    ]);
  });

  it("moderates", async () => {
    answerJson({ id: "modr-1", model: "fake-judge", results: [{ flagged: true }] });
    const answer = await client.moderations.create({ model: "judge", input: ["a", "b"] });
    expect(answer.results[0]?.flagged).toBe(true);
    const { path, body } = provider.received.at(-1)!;
    expect([path, JSON.parse(body.toString())]).toEqual(["/v1/moderations", { model: "fake-judge", input: ["a", "b"] }]);
    expect(await errorOf(client.moderations.create({ model: "remote", input: "x" }))).toMatchObject({
      status: 422,
      param: "model",
    });
  });

  it("draws, is charged the tokens that the provider tells, and all that was set aside when it tells none", async () => {
    const token = await tokenFor(platform, cookie, "puaboai-sdk");
    await allowSpending(token);
    const usage = {
      total_tokens: 120,
      input_tokens: 20,
      output_tokens: 100,
      input_tokens_details: { text_tokens: 20, image_tokens: 0 },
    };
    const costs: string[] = [];
    for (const more of [{ usage }, {}]) {
      answerJson({ created: 1, data: [{ b64_json: "AAAA" }], ...more });
      const { data, request_id: id } = await client.images.generate({ model: "painter", prompt: "a dot", n: 2 }).withResponse();
      expect(data.data?.[0]?.b64_json).toBe("AAAA");
      costs.push((await rowOf(token, id)).cost_nanos);
    }
    // 20 × 1,000 + 100 × 10,000; then the context 8,000 × 1,000 and two images of 6,000 × 10,000 nano-dollars.
    expect(costs).toEqual(["1020000", "128000000"]);
    const streamed = client.images.generate({ model: "painter", prompt: "a dot", stream: true });
    expect(await errorOf(streamed)).toMatchObject({ status: 422, param: "stream" });
    expect(await errorOf(client.images.generate({ model: "painter", prompt: "a dot", n: 11 }))).toMatchObject({ param: "n" });
  });
});
