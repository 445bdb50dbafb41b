/** OpenAI's own client, unmodified, against the audio routes: it speaks, listens, streams and throws as it does at OpenAI. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FakeUpstream, startFakeUpstream } from "@nexus/testing";
import OpenAI, { BadRequestError, toFile } from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { headless, makeKey, signIn } from "./session.ts";

const directory = mkdtempSync(join(tmpdir(), "nexus-audio-"));
const sound = Buffer.alloc(50_000, 7);
let provider: FakeUpstream;
let platform: PlatformProcess;
let client: OpenAI;

beforeAll(async () => {
  provider = await startFakeUpstream();
  const settings = join(directory, "gateway.yaml");
  writeFileSync(
    settings,
    `
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [openai-speech, openai-transcriptions] }
models:
  - { id: voice, provider: fake, upstream_model: gpt-4o-mini-tts, kind: speech, context_tokens: 2000, price: free }
  - { id: ears, provider: fake, upstream_model: gpt-4o-transcribe, kind: transcriptions, context_tokens: 16000, price: free }
`,
  );
  platform = await startPlatform({ env: { ...headless, NEXUS_GATEWAY_CONFIG: settings, NEXUS_FIND_LOCAL_MODELS: "false" } });
  const { secret } = await makeKey(platform, await signIn(platform));
  client = new OpenAI({ baseURL: `${platform.urls.ai}/v1`, apiKey: secret, maxRetries: 0 });
});
afterAll(async () => {
  await stopPlatform(platform);
  await provider.close();
  rmSync(directory, { recursive: true });
});

it("speaks", async () => {
  provider.answerWith((response) => void response.writeHead(200, { "content-type": "audio/mpeg" }).end(sound));
  const answer = await client.audio.speech.create({ model: "voice", voice: "alloy", input: "Hello.", instructions: "Calmly." });
  expect(Buffer.from(await answer.arrayBuffer()).equals(sound)).toBe(true);
  expect(JSON.parse(provider.received.at(-1)!.body.toString())).toMatchObject({
    model: "gpt-4o-mini-tts",
    instructions: "Calmly.",
  });
});

it("listens, whole and streamed", async () => {
  const usage = { type: "tokens", input_tokens: 20, output_tokens: 3, total_tokens: 23 };
  provider.answerWith(
    (response) =>
      void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ text: "hello", usage })),
  );
  const file = await toFile(sound, "hello.wav");
  expect((await client.audio.transcriptions.create({ model: "ears", file })).text).toBe("hello");
  provider.answerWith((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of [
      { type: "transcript.text.delta", delta: "hel" },
      { type: "transcript.text.delta", delta: "lo" },
      { type: "transcript.text.done", text: "hello", usage },
    ])
      response.write(`data: ${JSON.stringify(event)}\n\n`);
    response.end();
  });
  const pieces: string[] = [];
  for await (const event of await client.audio.transcriptions.create({ model: "ears", file, stream: true })) {
    if (event.type === "transcript.text.delta") pieces.push(event.delta);
  }
  expect(pieces).toEqual(["hel", "lo"]);
});

it("throws its own class of error for a refusal of the provider", async () => {
  const refusal = JSON.stringify({
    error: { message: "Invalid file format.", type: "invalid_request_error", param: "file", code: null },
  });
  provider.answerWith((response) => void response.writeHead(400, { "content-type": "application/json" }).end(refusal));
  const asked = client.audio.translations.create({ model: "ears", file: await toFile(sound, "hello.wav") });
  await expect(asked).rejects.toThrow(BadRequestError);
});
