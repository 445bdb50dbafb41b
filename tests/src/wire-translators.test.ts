/**
 * The gateway's translators held against an independent author's: the AI SDK writes the same prompt in every provider's format, and
 * reads the same answer from it. What it writes for one provider, translated, must be what it writes for the other; and what it
 * reads through a translated answer, what it reads from the original.
 */
import { readFileSync } from "node:fs";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { translatorBetween } from "@nexus/puaboai-sdk/translators";
import { generateText, type LanguageModel, type ModelMessage, Output, streamText, tool } from "ai";
import { describe, expect, it } from "vitest";
import { z } from "zod";

// It would tell on the console that it does not know the model.
Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

type Json = Record<string, unknown>;
type Format = "openai-chat" | "openai-responses" | "anthropic-messages";
type Upstream = (body: Json) => Response;

// Models that take a schema for their answer: for others the SDK writes it as a tool.
const models: Record<Format, string> = {
  "openai-chat": "gpt-4o",
  "openai-responses": "gpt-4o",
  "anthropic-messages": "claude-sonnet-4-5",
};
const names = { model: "upstream-model", id: "answer_1", created: 1_764_000_000 };

/** The SDK's client of one format, whose every request is answered by a function in place of the network. */
function clientOf(format: Format, upstream: Upstream): LanguageModel {
  const settings = {
    apiKey: "none",
    baseURL: "http://upstream.invalid/v1",
    fetch: (_url: unknown, init?: { body?: unknown }) => Promise.resolve(upstream(JSON.parse(String(init?.body)) as Json)),
  };
  if (format === "anthropic-messages") return createAnthropic(settings)(models[format]);
  const openai = createOpenAI(settings);
  return format === "openai-chat" ? openai.chat(models[format]) : openai.responses(models[format]);
}

const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const messages: ModelMessage[] = [
  {
    role: "user",
    content: [
      { type: "text", text: "Where is this, and how is the weather?" },
      { type: "image", image: png, mediaType: "image/png" },
      { type: "image", image: new URL("https://pictures.example/quay.png"), mediaType: "image/png" },
    ],
  },
  {
    role: "assistant",
    content: [
      { type: "text", text: "I ask." },
      { type: "tool-call", toolCallId: "call_a", toolName: "weather", input: { city: "Oslo" } },
      { type: "tool-call", toolCallId: "call_b", toolName: "weather", input: { city: "Rome" } },
    ],
  },
  {
    role: "tool",
    content: ["call_a", "call_b"].map((toolCallId) => ({
      type: "tool-result" as const,
      toolCallId,
      toolName: "weather",
      output: { type: "text" as const, value: "cold" },
    })),
  },
  { role: "user", content: "And tomorrow?" },
];

type Prompt = Partial<Parameters<typeof generateText>[0]>;
const weather = tool({
  description: "The weather in a city",
  inputSchema: z.strictObject({ city: z.string() }),
  execute: () => "cold",
});
const tools: NonNullable<Prompt["tools"]> = { weather };
const prompts: Record<string, Prompt> = {
  "a plain question": { temperature: 0.4 },
  "tools, their results and pictures": { tools },
  "a tool that must be called": { tools, toolChoice: "required" },
  "no tool may be called": { tools, toolChoice: "none" },
  "an object is wanted": { output: Output.object({ schema: z.strictObject({ city: z.string() }) }) },
  "one tool that must be called": { tools, toolChoice: { type: "tool", toolName: "weather" } },
};

/** What the SDK sends in this format. */
async function written(format: Format, prompt: Prompt): Promise<Json> {
  let sent: Json | undefined;
  const model = clientOf(format, (body) => {
    sent = body;
    return new Response("{}", { status: 400, headers: { "content-type": "application/json" } });
  });
  const asked = { model, maxOutputTokens: 500, maxRetries: 0, system: "Answer in one line.", messages, ...prompt };
  await generateText(asked as Parameters<typeof generateText>[0]).catch(() => undefined);
  if (!sent) throw new Error("the client sent nothing");
  return sent;
}

/** Two spellings of one request made one: what either format lets stand in several forms, and what only an author chooses. */
function normal(body: Json): Json {
  const text = JSON.stringify(body, (key: string, value: unknown) => {
    // How closely to look and how strict to be: said or left out, it is the API's default.
    if ((key === "detail" && value === "auto") || (key === "strict" && value === false)) return undefined;
    // A content that is only a text may stand as such, or as a list of one.
    const [only] = Array.isArray(value) ? (value as Json[]) : [];
    const isContent = (key === "content" || key === "system") && Array.isArray(value) && value.length === 1;
    return isContent && only?.["type"] === "text" ? only["text"] : value;
  });
  const { store: _store, instructions, ...rest } = JSON.parse(text) as Json;
  // In responses the system's word may stand beside the input, or at its head.
  if (instructions !== undefined) rest["input"] = [{ role: "system", content: instructions }, ...(rest["input"] as Json[])];
  // Left out, it is what the API does by itself.
  const choice = rest["tool_choice"] as Json | string | undefined;
  if (choice === "auto" || (typeof choice === "object" && choice["type"] === "auto")) delete rest["tool_choice"];
  return rest;
}

const roads: [Format, Format][] = [
  ["openai-chat", "anthropic-messages"],
  ["anthropic-messages", "openai-chat"],
  ["openai-responses", "openai-chat"],
  ["openai-chat", "openai-responses"],
];

describe.each(roads)("a request of %s for %s", (client, upstream) => {
  it.each(Object.keys(prompts))("is what the AI SDK writes itself: %s", async (name) => {
    const prompt = prompts[name] ?? {};
    const [mine, theirs] = await Promise.all([written(client, prompt), written(upstream, prompt)]);
    const { body, lost } = translatorBetween(client, upstream).request(mine, { model: models[upstream], maxOutputTokens: 500 });
    expect(normal(body)).toEqual(normal(theirs));
    expect(lost).toEqual([]);
  });
});

interface Answers {
  whole: Json;
  stream: { event?: string; data: string }[];
}

/** The provider's answers that the translators' own tests are made with. */
function answersOf(format: string): Answers {
  const folder = "../../services/puaboai-sdk/src/translation/golden/";
  return JSON.parse(readFileSync(new URL(`${folder}${format}.answer.json`, import.meta.url), "utf8")) as Answers;
}

/** The SDK takes an event that it does not know for an error; the translators pass it over. */
function isKnown({ event = "", data }: Answers["stream"][number]): boolean {
  return event !== "ping" && !data.includes("some_new");
}

function frameOf({ event, data }: Answers["stream"][number]): string {
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${data}\n\n`;
}

function answerOf(body: Json): Response {
  return Response.json(body);
}

function streamOf(frames: string[]): Response {
  return new Response(frames.join(""), { headers: { "content-type": "text/event-stream" } });
}

/** What an application gets of an answer. */
interface Got {
  text: string;
  calls: unknown[];
  finish: string;
  usage: unknown;
}

const ships: NonNullable<Prompt["tools"]> = {
  find_ship: tool({ inputSchema: z.object({ berth: z.number().optional() }), execute: () => "a ship" }),
};

async function whole(model: LanguageModel): Promise<Got> {
  const { text, toolCalls, finishReason, usage } = await generateText({
    model,
    prompt: "Which ships?",
    tools: ships,
    maxRetries: 0,
  });
  return { text, calls: toolCalls.map(callOf), finish: finishReason, usage: figuresOf(usage) };
}

async function streamed(model: LanguageModel): Promise<Got> {
  const result = streamText({ model, prompt: "Which ships?", tools: ships, maxRetries: 0 });
  const [text, calls, finish, usage] = await Promise.all([result.text, result.toolCalls, result.finishReason, result.usage]);
  return { text, calls: calls.map(callOf), finish, usage: figuresOf(usage) };
}

function callOf({ toolCallId, toolName, input }: { toolCallId: string; toolName: string; input: unknown }): unknown {
  return { toolCallId, toolName, input };
}

function figuresOf({ inputTokens, outputTokens, cachedInputTokens }: Record<string, unknown>): unknown {
  return { inputTokens, outputTokens, cachedInputTokens };
}

describe.each(roads)("an answer to %s from %s", (client, upstream) => {
  const pair = translatorBetween(client, upstream);
  const answers = answersOf(upstream);

  it("tells an application the same as the original", async () => {
    const translated = await whole(clientOf(client, () => answerOf(pair.answer(answers.whole, names))));
    expect(translated).toEqual(await whole(clientOf(upstream, () => answerOf(answers.whole))));
    expect(translated).toMatchObject({ text: "Both are asked.", finish: "tool-calls", calls: [{ input: { berth: 1 } }, {}] });
  });

  it("tells an application the same as the original when streamed", async () => {
    const stream = pair.stream({ ...names, includeUsage: true });
    const frames = [...answers.stream.flatMap((event) => stream.push(event)), ...stream.end()];
    const original = answers.stream.filter(isKnown).map(frameOf);
    const translated = await streamed(clientOf(client, () => streamOf(frames)));
    expect(translated).toEqual(await streamed(clientOf(upstream, () => streamOf(original))));
    expect(translated).toMatchObject({ text: "Both are asked.", finish: "tool-calls", calls: [{ input: { berth: 1 } }, {}] });
  });

  it("tells an application an error that comes midway", async () => {
    const stream = pair.stream({ ...names, includeUsage: true });
    const begun = answers.stream.slice(0, 8).flatMap((event) => stream.push(event));
    const errors: unknown[] = [];
    const model = clientOf(client, () => streamOf([...begun, ...stream.end()]));
    const result = streamText({ model, prompt: "Which ships?", maxRetries: 0, onError: ({ error }) => void errors.push(error) });
    await result.consumeStream();
    expect(JSON.stringify(errors)).toContain("before it was whole");
  });
});

describe("an answer of Google's", () => {
  it.each(["openai-chat", "openai-responses", "anthropic-messages"] as const)(
    "reaches an application that speaks %s",
    async (client) => {
      const pair = translatorBetween(client, "gemini");
      const answers = answersOf("gemini");
      const stream = pair.stream({ ...names, includeUsage: true });
      const frames = [...answers.stream.flatMap((event) => stream.push(event)), ...stream.end()];
      const got = await streamed(clientOf(client, () => streamOf(frames)));
      const inputs = (calls: unknown[]) => calls.map((call) => (call as Json)["input"]);
      expect(got).toMatchObject({ text: "Both are asked.", finish: "tool-calls" });
      expect(got.usage).toEqual({ inputTokens: 120, outputTokens: 40, cachedInputTokens: 64 });
      expect(inputs(got.calls)).toEqual([{ berth: 1 }, { berth: 2 }]);
      const entire = await whole(clientOf(client, () => answerOf(pair.answer(answers.whole, names))));
      expect({ ...entire, calls: inputs(entire.calls) }).toEqual({ ...got, calls: inputs(got.calls) });
    },
  );
});
