/** Frames of a provider that are put into other words, whatever stands around their data. */
import { expect, test } from "vitest";
import { messagesWire } from "../messages/messages-wire.ts";
import { openTranslation } from "./open-translation.ts";

const frameOf = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;

function translated(stream: string): string {
  const asked = { model: "smart", max_tokens: 100, messages: [{ role: "user", content: "Hello" }] };
  const translation = openTranslation({
    client: messagesWire,
    upstream: "openai-chat",
    body: Buffer.from(JSON.stringify(asked)),
    model: "smart",
    upstreamModel: "theirs",
    id: "msg_1",
    created: 1_764_000_000,
    includeUsage: true,
    mostTokens: 100,
    adapt: (body) => body,
  });
  return translation.frames(Buffer.from(stream))?.toString() ?? "";
}

test.each([
  ["a byte order mark before it", (frame: string) => `\uFEFF${frame}`],
  ["a line before it that ends in a carriage return", (frame: string) => `event: x\r${frame}`],
  ["line ends of two characters", (frame: string) => frame.replaceAll("\n", "\r\n")],
])("a piece of an answer is not lost for %s", (_name, change) => {
  const told = translated(change(frameOf("first")) + frameOf("second"));
  expect(told).toContain('"text":"first"');
  expect(told).toContain('"text":"second"');
});
