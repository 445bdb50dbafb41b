/** What the published figures of every provider cost, read as the gateway reads them from answers and streams. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { chatWire } from "../../chat/chat-wire.ts";
import { embeddingsWire } from "../../embeddings/embeddings-wire.ts";
import { messagesWire } from "../../messages/messages-wire.ts";
import { responsesWire } from "../../responses/responses-wire.ts";
import { parseGatewaySettings } from "../../settings/gateway-settings.ts";
import { type Price, priceOf } from "../../settings/price.ts";
import { sseTap } from "../../wire/sse-tap.ts";
import { readConverseUsage } from "../converse-usage.ts";
import { readGeminiUsage } from "../gemini-usage.ts";
import { readTranscriptionUsage, type TokenUsage } from "../token-usage.ts";

type Format = "chat" | "responses" | "messages" | "embeddings" | "images" | "transcription" | "gemini" | "converse";

/** Usage objects in the shape in which providers publish them, with the figures of the page where it has an example. */
interface RecordedUsage {
  provider: string;
  what: string;
  /** The page that shows the object, or describes its members. */
  source: string;
  format: Format;
  /** As in gateway.yaml, without source and date; for the arithmetic alone. */
  price: string;
  usage: object;
  /** Nano-dollars, counted by hand: `tokens * dollars for a million * 1000`, summed. */
  cost: string;
}

const recordedUsages = JSON.parse(readFileSync(new URL("recorded-usages.json", import.meta.url), "utf8")) as RecordedUsage[];

const readers: Record<Format, (usage: object) => TokenUsage | undefined> = {
  chat: (usage) => chatWire.findUsage(answer({ choices: [], usage })),
  responses: (usage) => responsesWire.findUsage(answer({ output: [], usage })),
  messages: (usage) => messagesWire.findUsage(answer({ content: [], usage })),
  embeddings: (usage) => embeddingsWire.findUsage(answer({ data: [], usage })),
  images: (usage) => responsesWire.findUsage(answer({ data: [], usage })),
  transcription: readTranscriptionUsage,
  gemini: readGeminiUsage,
  converse: readConverseUsage,
};

/** The figures at the end of a stream, in the frames of the format. */
const streams: Partial<
  Record<Format, { wire: typeof chatWire | typeof messagesWire | typeof responsesWire; frames: (usage: object) => string[] }>
> = {
  chat: { wire: chatWire, frames: (usage) => [frame({ choices: [], usage })] },
  responses: {
    wire: responsesWire,
    frames: (usage) => [`event: response.completed\n${frame({ type: "response.completed", response: { usage } })}`],
  },
  messages: {
    wire: messagesWire,
    frames: (usage) => [
      `event: message_start\n${frame({ type: "message_start", message: { usage: { ...usage, output_tokens: 1 } } })}`,
      `event: message_delta\n${frame({ type: "message_delta", delta: {}, usage: lastFigures(usage) })}`,
    ],
  },
};

function answer(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function frame(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** Anthropic's last event counts what was written and searched until then. */
function lastFigures(usage: object): object {
  const { output_tokens, server_tool_use } = usage as Record<string, unknown>;
  return { output_tokens, ...(server_tool_use ? { server_tool_use } : {}) };
}

function priceIn(figures: string, provider: string): Price {
  const place = provider === "Anthropic" ? "kind: anthropic" : `base_url: "https://models.example.com/v1"`;
  // The sound of a chat cannot be bounded, so that no chat model may have such a price.
  const kind = figures.includes("per_minute") ? "kind: moderations" : "kind: chat, max_output_tokens: 1000";
  const { models } = parseGatewaySettings(
    `providers: { p: { ${place}, api_key_env: KEY } }
models:
  - { id: m, provider: p, ${kind}, context_tokens: 1000, price: { ${figures}, source: its page, effective: 2026-11-23 } }`,
    "gateway.yaml",
  );
  const price = models[0]?.price;
  if (!price || typeof price === "string") throw new Error("it has a price");
  return price;
}

/** `19 * 2500 + 10 * 10000` */
function costOf({ cost }: RecordedUsage): bigint {
  const products = cost.split(" + ").map((product) => product.split(" * ").map(BigInt));
  return products.reduce((sum, factors) => sum + factors.reduce((one, other) => one * other, 1n), 0n);
}

test.each(recordedUsages.map((row) => [`${row.provider}: ${row.what}`, row] as const))("%s", (_, row) => {
  const price = priceIn(row.price, row.provider);
  const usage = readers[row.format](row.usage);
  expect(usage && priceOf(usage, price)).toBe(costOf(row));
  const stream = streams[row.format];
  if (!stream) return;
  const tap = sseTap(stream.wire.openFrameReader());
  for (const piece of stream.frames(row.usage)) tap.push(Buffer.from(piece));
  expect(priceOf(tap.state().usage!, price)).toBe(costOf(row));
});

test("every row says where its object stands", () => {
  for (const { source } of recordedUsages) expect(URL.parse(source)?.protocol).toBe("https:");
});
