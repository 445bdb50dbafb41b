/** The OpenAI and Anthropic clients, unmodified, where answers are kept and guardrails stand: on the whole platform in one process. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic, { BadRequestError as AnthropicBadRequest } from "@anthropic-ai/sdk";
import { generateApiKey } from "@nexus/core";
import { chatAnswer, chatStream, type FakeUpstream, messagesAnswer, startFakeUpstream } from "@nexus/testing";
import OpenAI, { APIError, BadRequestError } from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { headless, makeKey, signIn } from "./session.ts";

const directory = mkdtempSync(join(tmpdir(), "nexus-hooks-"));
let provider: FakeUpstream;
let platform: PlatformProcess;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  provider = await startFakeUpstream();
  const settings = join(directory, "gateway.yaml");
  const chat = "kind: chat, context_tokens: 100000, max_output_tokens: 10000, price: free";
  writeFileSync(
    settings,
    `
providers:
  chat: { base_url: "${provider.baseUrl}", allow_private_network: true }
  claude: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
models:
  - { id: kept, provider: chat, ${chat}, cache: { ttl_seconds: 600 } }
  - { id: kept-claude, provider: claude, ${chat}, cache: { ttl_seconds: 600 } }
  - { id: guarded, provider: chat, ${chat} }
guardrails:
  - { name: no-secrets, kind: detector, on: input, action: block, detects: [secrets], models: [guarded] }
  - { name: no-pii, kind: detector, on: output, action: block, detects: [pii], models: [guarded] }
`,
  );
  platform = await startPlatform({
    env: { ...headless, NEXUS_GATEWAY_CONFIG: settings, NEXUS_FIND_LOCAL_MODELS: "false" },
  });
  const { secret } = await makeKey(platform, await signIn(platform));
  openai = new OpenAI({ baseURL: `${platform.urls.ai}/v1`, apiKey: secret, maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: platform.urls.ai, apiKey: secret, maxRetries: 0 });
});
afterAll(async () => {
  await stopPlatform(platform);
  await provider.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
});

/**
 * Asks until the answer comes from the cache. It is kept behind the client's back, so more than one may be fresh before that.
 * @returns the kept answer, which is one of the fresh ones
 */
async function untilHit<T>(ask: () => Promise<{ data: T; response: Response }>): Promise<T> {
  const fresh: T[] = [];
  for (;;) {
    const { data, response } = await ask();
    if (response.headers.get("x-nexus-cache") === "hit") {
      expect(fresh).toContainEqual(data);
      return data;
    }
    if (fresh.push(data) > 200) throw new Error("the answer was not kept");
  }
}

const said = (content: string) => ({ messages: [{ role: "user" as const, content }] });

describe("a kept answer is the answer, to each client", () => {
  it("OpenAI: whole, as a stream, and in the format of responses", async () => {
    const ask = () => openai.chat.completions.create({ model: "kept", ...said("one") }).withResponse();
    expect((await untilHit(ask)).choices[0]!.message.content).toBe("hello");

    provider.answerWith(chatStream({ texts: ["kept ", "in ", "pieces"] }));
    const streamed = async () => {
      const { data, response } = await openai.chat.completions
        .create({ model: "kept", stream: true, stream_options: { include_usage: true }, ...said("two") })
        .withResponse();
      return { data: await all(data), response };
    };
    const again = await untilHit(streamed);
    expect(again.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe("kept in pieces");
    expect(again.at(-1)!.usage).toMatchObject({ prompt_tokens: 11 });

    provider.answerWith(chatAnswer({ text: "translated" }));
    const respond = () => openai.responses.create({ model: "kept", input: "three" }).withResponse();
    expect((await untilHit(respond)).output_text).toBe("translated");
  });

  it("Anthropic: whole and as a stream, from a provider of its format and translated", async () => {
    for (const [model, script] of [
      ["kept-claude", messagesAnswer()],
      ["kept", chatAnswer()],
    ] as const) {
      provider.answerWith(script);
      const ask = () => anthropic.messages.create({ model, max_tokens: 50, ...said("four") }).withResponse();
      expect((await untilHit(ask)).content).toMatchObject([{ type: "text", text: "hello" }]);
    }
    provider.answerWith(chatStream({ texts: ["as ", "events"] }));
    const streamed = async () => {
      const { data, response } = await anthropic.messages
        .create({ model: "kept", max_tokens: 50, stream: true, ...said("five") })
        .withResponse();
      return { data: await all(data), response };
    };
    expect((await untilHit(streamed)).at(-1)!.type).toBe("message_stop");
  });
});

describe("a guardrail is an error that each client knows", () => {
  const secret = generateApiKey("sk", "live").key;
  const mail = "somebody@example.com";
  const letters = `Many words come first, and they leave before the address: ${mail} .`.split("");

  it("OpenAI: what goes in, what comes out, and a stream that breaks off", async () => {
    const input = await errorOf(openai.chat.completions.create({ model: "guarded", ...said(`use ${secret}`) }));
    expect(input).toBeInstanceOf(BadRequestError);
    expect(input).toMatchObject({ status: 400, code: "guardrail_blocked", param: "messages.0.content" });
    expect(String(input)).not.toContain(secret);
    expect(provider.received).toHaveLength(0);

    provider.answerWith(chatAnswer({ text: `ask ${mail}` }));
    const output = await errorOf(openai.chat.completions.create({ model: "guarded", ...said("who?") }));
    expect(output).toMatchObject({ status: 400, code: "guardrail_blocked" });
    expect(String(output)).not.toContain(mail);

    provider.answerWith(chatStream({ texts: letters }));
    const stream = await openai.chat.completions.create({ model: "guarded", stream: true, ...said("who?") });
    let text = "";
    const broken = await errorOf(
      (async () => {
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
      })(),
    );
    expect(broken).toBeInstanceOf(APIError);
    expect(broken).toMatchObject({ code: "guardrail_blocked" });
    expect(text).toMatch(/^Many/);
    expect(text).not.toContain("some");
  });

  it("Anthropic: the same in its own shape", async () => {
    const input = await errorOf(anthropic.messages.create({ model: "guarded", max_tokens: 50, ...said(`use ${secret}`) }));
    expect(input).toBeInstanceOf(AnthropicBadRequest);
    expect(input).toMatchObject({ status: 400, error: { error: { type: "invalid_request_error", code: "guardrail_blocked" } } });
    provider.answerWith(chatStream({ texts: letters }));
    const stream = anthropic.messages.stream({ model: "guarded", max_tokens: 50, ...said("who?") });
    let text = "";
    stream.on("text", (piece) => void (text += piece));
    const broken = await errorOf(stream.finalMessage());
    expect(String(broken)).toContain("guardrail");
    expect(text).toMatch(/^Many/);
    expect(text).not.toContain("some");
  });
});

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  );
}
