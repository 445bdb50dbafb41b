/** The unmodified official client of Anthropic against the gateway: only base URL and key are ours. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic, { type APIError, AuthenticationError, NotFoundError, UnprocessableEntityError } from "@anthropic-ai/sdk";
import { type FakeUpstream, htmlError, messagesAnswer, silence, startFakeUpstream, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, postJson, signIn, tokenFor } from "./session.ts";

interface UsageRow {
  request_id: string;
  organization_id: string;
  endpoint: string;
  outcome: string;
  error_code: string | null;
  input_tokens: number;
  cached_input_tokens: number;
  output_tokens: number;
  cost_nanos: string;
  usage_source: string;
}

let platform: PlatformProcess;
let provider: FakeUpstream;
let cookie: string;
let secret: string;
let client: Anthropic;
const directory = mkdtempSync(join(tmpdir(), "nexus-anthropic-"));
const messages: Anthropic.MessageParam[] = [{ role: "user", content: "say hello" }];
const asking = { max_tokens: 100, messages };

beforeAll(async () => {
  provider = await startFakeUpstream();
  const settings = join(directory, "gateway.yaml");
  const price = `{ unit: usd_per_million_tokens, input: "1", cached_input: "0.5", output: "10", source: test, effective: 2026-01-01 }`;
  writeFileSync(
    settings,
    `
providers:
  claude:
    base_url: "${provider.baseUrl}"
    allow_private_network: true
    api_key_env: FAKE_PROVIDER_KEY
    auth_header: x-api-key
    headers: { anthropic-version: "2023-06-01" }
    wire_formats: [anthropic-messages]
    first_byte_timeout_ms: 500
models:
  - { id: remote, provider: claude, upstream_model: fake-model, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
  - { id: priced, provider: claude, upstream_model: fake-model, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: ${price} }
`,
  );
  platform = await startPlatform({
    env: {
      ...headless,
      NEXUS_GATEWAY_CONFIG: settings,
      FAKE_PROVIDER_KEY: "provider-key-0123456789",
      NEXUS_FIND_LOCAL_MODELS: "false",
      NEXUS_DEFAULT_BUDGET_NANOS: "1000000000",
    },
  });
  cookie = await signIn(platform);
  ({ secret } = await makeKey(platform, cookie));
  client = clientWith(secret);
});
afterAll(async () => {
  await stopPlatform(platform);
  await provider.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(messagesAnswer());
});

describe("Anthropic's client", () => {
  it("gets a message, and the provider gets its own key, the version and the beta that the client named", async () => {
    const options = { headers: { "anthropic-beta": "one-2026-01-01" } };
    const { data, request_id: requestId } = await client.messages.create({ model: "remote", ...asking }, options).withResponse();
    expect(data.content).toEqual([{ type: "text", text: "hello" }]);
    expect(data.usage.output_tokens).toBe(7);
    expect(requestId).toMatch(/^req_/);
    const [received] = provider.received;
    expect(received?.path).toBe("/v1/messages");
    expect(received?.headers).toMatchObject({
      "x-api-key": "provider-key-0123456789",
      "anthropic-version": expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      "anthropic-beta": "one-2026-01-01",
    });
    expect(received?.headers.authorization).toBeUndefined();
    expect(JSON.stringify(received?.headers)).not.toContain("pv_");
  });

  it("streams, with each frame as it came, and its helper puts the message together", async () => {
    provider.answerWith(messagesAnswer({ stream: true, texts: ["a", "b", "c"] }));
    const stream = client.messages.stream({ model: "remote", ...asking });
    const events: string[] = [];
    for await (const event of stream) events.push(event.type);
    expect(events).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_delta",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(await stream.finalText()).toBe("abc");
    expect((await stream.finalMessage()).usage).toMatchObject({ input_tokens: 10, output_tokens: 7 });
  });

  it("gets what it does not know through in both directions", async () => {
    const fields = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`unknown_${n}`, { deep: [n, null, "\u00e9"] }]));
    provider.answerWith(messagesAnswer({ more: fields }));
    const body = { model: "remote", ...asking, ...fields, tools: [{ name: "t", input_schema: { type: "object" as const } }] };
    const answer = await client.messages.create(body);
    expect(answer).toMatchObject(fields);
    expect(JSON.parse(provider.received[0]!.body.toString())).toEqual({ ...body, model: "fake-model" });
  });

  it("counts tokens without a budget being touched", async () => {
    provider.answerWith((response) => {
      response.writeHead(200, { "content-type": "application/json" }).end('{"input_tokens":42}');
    });
    expect(await client.messages.countTokens({ model: "priced", messages })).toEqual({ input_tokens: 42 });
    expect(provider.received[0]?.path).toBe("/v1/messages/count_tokens");
  });

  it("stops a stream, and the provider hears of it", async () => {
    provider.answerWith(messagesAnswer({ stream: true, texts: Array.from({ length: 500 }, () => "x"), delayMs: 10 }));
    const stream = await client.messages.create({ model: "remote", ...asking, stream: true });
    for await (const event of stream) if (event.type === "content_block_delta") break;
    stream.controller.abort();
    await waitFor(() => provider.received[0]?.abortedAt !== undefined);
  });

  it.each([false, true])(
    "is charged by the provider's figures, what came from the cache at its own price (stream %s)",
    async (stream) => {
      provider.answerWith(messagesAnswer({ stream }));
      const answer = await client.messages.create({ model: "priced", ...asking, stream }).withResponse();
      await (stream ? drain(answer.data as AsyncIterable<unknown>) : answer.data);
      const row = await usageOf(answer.request_id!);
      expect(row).toMatchObject({ endpoint: "messages", outcome: "ok", usage_source: "provider" });
      expect(row).toMatchObject({ input_tokens: 14, cached_input_tokens: 4, output_tokens: 7 });
      // 10 × 1,000 + 4 × 500 + 7 × 10,000 nano-dollars
      expect(row.cost_nanos).toBe("82000");
    },
  );

  it("is charged for what was written to the cache, at its price", async () => {
    const usage = { input_tokens: 1, cache_creation_input_tokens: 100, cache_read_input_tokens: 0, output_tokens: 1 };
    provider.answerWith(messagesAnswer({ usage }));
    const system = [{ type: "text" as const, text: "x", cache_control: { type: "ephemeral" as const } }];
    const { request_id: requestId } = await client.messages.create({ model: "priced", ...asking, system }).withResponse();
    // 1 × 1,000 + 100 × 1,250 + 1 × 10,000 nano-dollars
    const row = { outcome: "ok", cost_nanos: "136000", input_tokens: 101, cache_write_tokens: 100 };
    expect(await usageOf(requestId!)).toMatchObject(row);
  });

  it("cannot ask for more output than the model writes", async () => {
    await client.messages.create({ model: "priced", messages, max_tokens: 5000 });
    expect(JSON.parse(provider.received[0]!.body.toString())).toMatchObject({ max_tokens: 1000 });
  });
});

describe("Anthropic's client throws its own class of error", () => {
  const create = (model: string, from = client, rest: object = {}) =>
    errorOf(from.messages.create({ model, ...asking, ...rest }));

  it("for a bad key, an unknown model, a field of a wrong type, and a model of another format", async () => {
    const unauthenticated = await create("remote", clientWith("pv_sk_live_nonsense"));
    expect(unauthenticated).toBeInstanceOf(AuthenticationError);
    expect(unauthenticated.error).toMatchObject({
      type: "error",
      error: { type: "authentication_error", code: "unauthenticated" },
    });
    const unknown = await create("nope");
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown.error).toMatchObject({ error: { type: "not_found_error", code: "model_not_found" } });
    expect(await create("remote", client, { max_tokens: "many" })).toBeInstanceOf(UnprocessableEntityError);
    const other = await create("embedded-echo");
    expect(other.error).toMatchObject({ error: { message: expect.stringContaining("not offered in the format") } });
    expect(provider.received).toEqual([]);
  });

  it("for tools that are billed beside tokens, where money is counted, and not where it is not", async () => {
    const rest = { tools: [{ type: "web_search_20250305", name: "web_search" }] };
    expect(await create("priced", client, rest)).toMatchObject({ status: 422 });
    expect(await client.messages.create({ model: "remote", ...asking, ...rest } as never)).toMatchObject({ type: "message" });
  });

  it("for a provider that fails, is silent, or dies in the middle of a stream", async () => {
    provider.answerWith(htmlError(500));
    expect((await create("remote")).error).toMatchObject({ error: { type: "api_error", code: "upstream_failed" } });
    provider.answerWith(silence());
    expect((await create("remote")).error).toMatchObject({ error: { type: "timeout_error", code: "upstream_timeout" } });
    provider.answerWith(messagesAnswer({ stream: true, texts: ["a", "b", "c"], dieAfter: 5 }));
    const stream = await client.messages.create({ model: "remote", ...asking, stream: true });
    let text = "";
    const read = async (): Promise<void> => {
      for await (const event of stream)
        if (event.type === "content_block_delta" && event.delta.type === "text_delta") text += event.delta.text;
    };
    expect((await errorOf(read())).error).toMatchObject({ error: { code: "upstream_failed" } });
    expect(text).toBe("ab");
  });

  it("for a stream whose key is revoked meanwhile", async () => {
    provider.answerWith(messagesAnswer({ stream: true, texts: Array.from({ length: 500 }, () => "x"), delayMs: 10 }));
    const key = await makeKey(platform, cookie);
    const stream = await clientWith(key.secret).messages.create({ model: "remote", ...asking, stream: true });
    const ended = errorOf(drain(stream));
    const token = await tokenFor(platform, cookie, "pv-keys");
    await postJson(`${platform.urls.keys}/v1/keys/${key.id}/revoke`, {}, bearer(token));
    expect((await ended).error).toMatchObject({ type: "error", error: { type: "authentication_error", code: "key_revoked" } });
    await waitFor(() => provider.received[0]?.abortedAt !== undefined);
  });
});

function clientWith(apiKey: string): Anthropic {
  return new Anthropic({ baseURL: platform.urls.ai, apiKey, maxRetries: 0 });
}

/** What the client throws for a call that must fail. */
async function errorOf(call: Promise<unknown>): Promise<APIError> {
  return await call.then(
    () => expect.unreachable(),
    (error: unknown) => error as APIError,
  );
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

async function usageOf(requestId: string): Promise<UsageRow> {
  return await waitFor(async () => {
    const answer = await fetch(`${platform.urls.ai}/v1/usage`, { headers: bearer(secret) });
    const { data } = (await answer.json()) as { data: UsageRow[] };
    return data.find((row) => row.request_id === requestId && row.outcome !== "crash");
  });
}
