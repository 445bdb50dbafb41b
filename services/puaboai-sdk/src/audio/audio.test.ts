import { randomBytes } from "node:crypto";
import { uuidOf } from "@nexus/core";
import {
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  silence,
  startFakeUpstream,
  type UpstreamScript,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { rowOf, startTestGateway } from "../start-test-gateway.test.ts";
import { readForm } from "./multipart.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let key: string;
let organizationId: string;
const sound = randomBytes(300_000);

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const price = (rates: string) => `{ unit: usd_per_million_tokens, ${rates}, source: test, effective: 2026-01-01 }`;
  const yaml = `
providers:
  fake:
    base_url: "${provider.baseUrl}"
    allow_private_network: true
    wire_formats: [openai-speech, openai-transcriptions]
models:
  - { id: voice, provider: fake, upstream_model: tts-1, kind: speech, context_tokens: 4096, price: ${price('input: "0", per_million_characters: "15"')} }
  - id: voice-tokens
    provider: fake
    kind: speech
    context_tokens: 4096
    max_output_tokens: 2000
    price: ${price('input: "1", output: "12"')}
  - { id: ears, provider: fake, upstream_model: whisper-1, kind: transcriptions, context_tokens: 1000, max_seconds: 1500, price: ${price('input: "0", per_minute: "0.006"')} }
  - { id: ears-tokens, provider: fake, kind: transcriptions, context_tokens: 16000, max_output_tokens: 2000, price: ${price('input: "6", output: "10"')} }
`;
  gateway = await startTestGateway(scene, { yaml, variables: { NEXUS_MAX_AUDIO_BYTES: "400000" } });
  ({ key, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 12n }));
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
});

const authorization = () => ({ authorization: `Bearer ${key}` });
const speak = (body: object, init: RequestInit = {}) =>
  fetch(`${gateway.url}/v1/audio/speech`, {
    method: "POST",
    headers: { ...authorization(), "content-type": "application/json" },
    body: JSON.stringify({ model: "voice", voice: "alloy", input: "Guten Tag, Wörld 👋", ...body }),
    ...init,
  });
function listen(fields: Record<string, string>, path = "transcriptions"): Promise<Response> {
  const form = new FormData();
  for (const [name, value] of Object.entries({ model: "ears", language: "de", "unknown[]": "kept", ...fields }))
    form.append(name, value);
  form.append("file", new Blob([sound], { type: "audio/wav" }), 'a "strange" näme.wav');
  return fetch(`${gateway.url}/v1/audio/${path}`, { method: "POST", headers: authorization(), body: form });
}
const answerWith = (type: string, body: string | Buffer, status = 200): void =>
  provider.answerWith((response) => void response.writeHead(status, { "content-type": type }).end(body));
const eventsOf =
  (events: object[]): UpstreamScript =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
  };
const nothingIsSetAside = () =>
  waitFor(async () => {
    const accounts = await scene.owner.db
      .selectFrom("budget_accounts")
      .innerJoin("budgets", "budgets.id", "budget_accounts.budget_id")
      .select("granted_nanos")
      .where("organization_id", "=", uuidOf("organization", organizationId)!)
      .execute();
    return accounts.every(({ granted_nanos: granted }) => granted === 0n);
  });

describe("speech", () => {
  test("sound passes byte for byte, and its characters are charged", async () => {
    answerWith("audio/mpeg", sound);
    const answer = await speak({ speed: 1.1, unknown: [1] });
    expect(answer.headers.get("content-type")).toBe("audio/mpeg");
    expect(Buffer.from(await answer.arrayBuffer()).equals(sound)).toBe(true);
    expect(JSON.parse(provider.received[0]!.body.toString())).toEqual({
      model: "tts-1",
      voice: "alloy",
      input: "Guten Tag, Wörld 👋",
      speed: 1.1,
      unknown: [1],
    });
    expect(await rowOf(scene, answer)).toMatchObject({
      endpoint: "audio.speech",
      outcome: "ok",
      units: { characters: 18 },
      cost_nanos: 18n * 15_000n,
    });
    await nothingIsSetAside();
  });

  test("the first of it is there before the last is made", async () => {
    const { promise: heard, resolve } = Promise.withResolvers<void>();
    provider.answerWith(async (response) => {
      response.writeHead(200, { "content-type": "audio/pcm" }).write("first");
      await heard;
      response.end("last");
    });
    const reader = (await speak({})).body!.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("first");
    resolve();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("last");
  });

  test("events tell what tokens cost; sound that is billed by tokens and tells none is charged what was set aside", async () => {
    const usage = { input_tokens: 10, output_tokens: 100, total_tokens: 110 };
    provider.answerWith(
      eventsOf([
        { type: "speech.audio.delta", audio: "AAAA" },
        { type: "speech.audio.done", usage },
      ]),
    );
    const streamed = await speak({ model: "voice-tokens", stream_format: "sse" });
    expect(await streamed.text()).toContain("speech.audio.done");
    expect(await rowOf(scene, streamed)).toMatchObject({
      outcome: "ok",
      usage_source: "provider",
      cost_nanos: 10n * 1000n + 100n * 12_000n,
    });
    answerWith("audio/mpeg", sound);
    const whole = await speak({ model: "voice-tokens" });
    await whole.arrayBuffer();
    const row = await rowOf(scene, whole);
    expect([row.usage_source, row.cost_nanos]).toEqual(["bound", row.reserved_nanos]);
  });

  test("a provider that dies in the middle leaves the client without an end, and the characters are charged", async () => {
    provider.answerWith((response) => {
      response.writeHead(200, { "content-type": "audio/mpeg" }).write(sound, () => response.destroy());
    });
    const answer = await speak({});
    await expect(answer.arrayBuffer()).rejects.toThrow();
    expect(await rowOf(scene, answer)).toMatchObject({
      outcome: "error",
      error_code: "upstream_failed",
      cost_nanos: 18n * 15_000n,
    });
  });

  test("a client that goes away ends the provider's work", async () => {
    provider.answerWith(silence());
    const abort = new AbortController();
    const asked = speak({}, { signal: abort.signal });
    asked.catch(() => {});
    await waitFor(() => provider.received.length === 1);
    abort.abort();
    await waitFor(() => provider.received[0]!.abortedAt !== undefined);
    await nothingIsSetAside();
  });

  test.each([[{ input: "" }], [{ input: 5 }], [{ input: "x".repeat(100_001) }], [{ input: undefined }]])(
    "%j is refused",
    async (body) => {
      const answer = await speak(body);
      expect(answer.status).toBe(422);
      expect(await answer.json()).toMatchObject({ error: { param: "input" } });
      await nothingIsSetAside();
    },
  );
});

describe("transcriptions", () => {
  test("the form passes byte for byte but for the model, and what was heard is charged by the second", async () => {
    answerWith("application/json", JSON.stringify({ text: "hello", usage: { type: "duration", seconds: 61 } }));
    const answer = await listen({});
    expect(await answer.json()).toMatchObject({ text: "hello" });
    const [request] = provider.received;
    expect(request!.path).toBe("/v1/audio/transcriptions");
    const form = await new Response(new Uint8Array(request!.body), {
      headers: { "content-type": request!.headers["content-type"]! },
    }).formData();
    expect([form.get("model"), form.get("language"), form.get("unknown[]")]).toEqual(["whisper-1", "de", "kept"]);
    const file = form.get("file") as File;
    expect(Buffer.from(await file.arrayBuffer()).equals(sound)).toBe(true);
    expect(await rowOf(scene, answer)).toMatchObject({
      endpoint: "audio.transcriptions",
      outcome: "ok",
      usage_source: "provider",
      units: { seconds: 61 },
      cost_nanos: 6_100_000n,
    });
  });

  test("tokens are charged as tokens, whole and streamed", async () => {
    const usage = {
      type: "tokens",
      input_tokens: 200,
      input_token_details: { audio_tokens: 190, text_tokens: 10 },
      output_tokens: 30,
    };
    answerWith("application/json", JSON.stringify({ text: "hello", usage }));
    const whole = await listen({ model: "ears-tokens" });
    await whole.arrayBuffer();
    provider.answerWith(
      eventsOf([
        { type: "transcript.text.delta", delta: "hel" },
        { type: "transcript.text.done", text: "hello", usage },
      ]),
    );
    const streamed = await listen({ model: "ears-tokens", stream: "true" });
    expect(await streamed.text()).toContain("transcript.text.done");
    for (const answer of [whole, streamed]) {
      expect(await rowOf(scene, answer)).toMatchObject({
        outcome: "ok",
        usage_source: "provider",
        cost_nanos: 200n * 6000n + 30n * 10_000n,
      });
    }
  });

  test("subtitles pass as they are and are charged what was set aside, as they tell no figures", async () => {
    answerWith("text/vtt; charset=utf-8", "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n");
    const answer = await listen({ response_format: "vtt" }, "translations");
    expect(await answer.text()).toContain("WEBVTT");
    expect(provider.received[0]!.path).toBe("/v1/audio/translations");
    expect(await rowOf(scene, answer)).toMatchObject({
      endpoint: "audio.translations",
      outcome: "ok",
      usage_source: "bound",
      cost_nanos: 150_000_000n,
    });
  });

  test("a refusal of the provider is the client's, and free", async () => {
    answerWith("application/json", JSON.stringify({ error: { message: "no sound in it" } }), 400);
    const answer = await listen({});
    expect([answer.status, await answer.json()]).toEqual([400, { error: { message: "no sound in it" } }]);
    expect(await rowOf(scene, answer)).toMatchObject({ outcome: "error", cost_nanos: 0n });
  });

  test("more than the largest body is 413", async () => {
    const form = new FormData();
    form.append("model", "ears");
    form.append("file", new Blob([Buffer.alloc(500_000)]), "a.wav");
    const answer = await fetch(`${gateway.url}/v1/audio/transcriptions`, {
      method: "POST",
      headers: authorization(),
      body: form,
    });
    expect(answer.status).toBe(413);
  });

  const part = (head: string, value: string) => `--b\r\ncontent-disposition: form-data; ${head}\r\n\r\n${value}\r\n`;
  const file = part('name="file"; filename="a.wav"', "RIFF");
  test.each([
    ["no boundary", "multipart/form-data", file, 415],
    ["another type", "application/json", "{}", 415],
    ["a boundary that is not there", "multipart/form-data; boundary=x", file, 400],
    ["no end", "multipart/form-data; boundary=b", file, 400],
    ["a part without a head", "multipart/form-data; boundary=b", `--b\r\nRIFF\r\n--b--`, 400],
    ["a head of 9 kB", "multipart/form-data; boundary=b", `${part(`name="${"n".repeat(9000)}"`, "x")}--b--`, 400],
    ["a hundred parts", "multipart/form-data; boundary=b", `${part('name="x"', "x").repeat(100)}--b--`, 400],
    ["no model", "multipart/form-data; boundary=b", `${file}--b--`, 422],
    ["no file", "multipart/form-data; boundary=b", `${part('name="model"', "ears")}--b--`, 422],
    ["two models", "multipart/form-data; boundary=b", `${part('name="model"', "ears").repeat(2)}${file}--b--`, 422],
    [
      "a model that is a file",
      "multipart/form-data; boundary=b",
      `${part('name="model"; filename="m"', "ears")}${file}--b--`,
      422,
    ],
    ["an unknown model", "multipart/form-data; boundary=b", `${part('name="model"', "other")}${file}--b--`, 404],
  ])("a form with %s is refused, and nothing is set aside", async (_, type, body, status) => {
    const headers = { ...authorization(), "content-type": type };
    const answer = await fetch(`${gateway.url}/v1/audio/transcriptions`, { method: "POST", headers, body });
    expect(answer.status).toBe(status);
    expect(provider.received).toEqual([]);
    await nothingIsSetAside();
  });

  test("the model may stand after the file, and what looks like a boundary inside of it is sound", () => {
    const tricky = `RIFF\r\n--bb\r\n--b\nx`;
    const form = Buffer.from(
      `preamble\r\n${part('name="file"; filename="a.wav"', tricky)}${part('name="model"', "ears")}--b--\r\nepilogue`,
    );
    const fields = readForm(form, 'multipart/form-data; charset=utf-8; boundary="b"');
    expect(fields.map(({ name, isFile, start, end }) => [name, isFile, form.toString("utf8", start, end)])).toEqual([
      ["file", true, tricky],
      ["model", false, "ears"],
    ]);
  });
});

describe("streams whose figures nobody tells are charged the most that they can have been", () => {
  const begun: UpstreamScript = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('data: {"type":"transcript.text.delta","delta":"x"}\n\n');
  };

  test("a transcription by the minute that its client leaves", async () => {
    provider.answerWith(begun);
    const answer = await listen({ stream: "true" });
    const reader = answer.body!.getReader();
    await reader.read();
    await reader.cancel();
    const row = await rowOf(scene, answer);
    expect(row).toMatchObject({ outcome: "aborted", usage_source: "bound", cost_nanos: row.reserved_nanos });
    expect(row.cost_nanos).toBeGreaterThan(0n);
  });

  test("one that ends without them", async () => {
    provider.answerWith(
      eventsOf([
        { type: "transcript.text.delta", delta: "x" },
        { type: "transcript.text.done", text: "x" },
      ]),
    );
    const answer = await listen({ stream: "true" });
    await answer.text();
    const row = await rowOf(scene, answer);
    expect(row).toMatchObject({ outcome: "ok", error_code: "usage_missing", cost_nanos: row.reserved_nanos });
    expect(row.cost_nanos).toBeGreaterThan(0n);
  });

  test.each([{}, { usage: { input_tokens: 10, output_tokens: 100, total_tokens: 110 } }])(
    "the characters of speech in events are known beforehand: %j",
    async (told) => {
      provider.answerWith(
        eventsOf([
          { type: "speech.audio.delta", audio: "AAAA" },
          { type: "speech.audio.done", ...told },
        ]),
      );
      const answer = await speak({ stream_format: "sse" });
      await answer.text();
      expect(await rowOf(scene, answer)).toMatchObject({ outcome: "ok", units: { characters: 18 }, cost_nanos: 18n * 15_000n });
    },
  );
});
