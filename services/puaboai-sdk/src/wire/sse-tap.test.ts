import { expect, test } from "vitest";
import { chatWire, chatWireWithOurUsage } from "../chat/chat-wire.ts";
import { sseTap } from "./sse-tap.ts";

const content = 'data: {"choices":[{"delta":{"content":"say \\"usage\\":{"}}],"usage":null}\n\n';
const usage =
  'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":3}}}\n\n';
const done = "data: [DONE]\n\n";
const through = (tap: ReturnType<typeof sseTap>, chunks: (string | Buffer)[]) =>
  [...chunks.map((chunk) => tap.push(Buffer.from(chunk as string))?.toString() ?? ""), tap.end()?.toString() ?? ""].join("");

test("a usage frame that the client did not ask for stays behind, and is counted", () => {
  const tap = sseTap(chatWireWithOurUsage.openFrameReader());
  expect(through(tap, [content, usage, done])).toBe(content + done);
  expect(tap.state()).toMatchObject({ done: true, failed: false, usage: { input: 9, output: 4, cachedInput: 3 } });
});

test("a usage frame that the client asked for goes on", () => {
  expect(through(sseTap(chatWire.openFrameReader()), [content, usage, done])).toBe(content + usage + done);
});

test.each(["\n", "\r\n"])("every way to cut the stream gives the same bytes (line ends %j)", (lineEnd) => {
  const text = `: ping\n\n${content}${usage}${done}`.replaceAll("\n", lineEnd);
  const expected = `: ping\n\n${content}${done}`.replaceAll("\n", lineEnd);
  for (let cut = 1; cut < text.length; cut++) {
    const tap = sseTap(chatWireWithOurUsage.openFrameReader());
    expect(through(tap, [text.slice(0, cut), text.slice(cut)])).toBe(expected);
    expect(tap.state().usage?.input).toBe(9);
  }
  const tap = sseTap(chatWireWithOurUsage.openFrameReader());
  expect(through(tap, text.split(""))).toBe(expected);
});

test("a whole frame leaves with the chunk that completes it, uncopied", () => {
  const tap = sseTap(chatWireWithOurUsage.openFrameReader());
  const chunk = Buffer.from(content + content);
  expect(tap.push(chunk)?.toString()).toBe(content + content);
  expect(tap.push(Buffer.from(content.slice(0, 10)))).toBeUndefined();
  expect(tap.push(Buffer.from(content.slice(10)))?.toString()).toBe(content);
});

test("an unfinished frame of any length is held only up to a bound", () => {
  const tap = sseTap(chatWireWithOurUsage.openFrameReader());
  let sent = 0;
  const piece = Buffer.alloc(64 * 1024, 0x61);
  for (let i = 0; i < 64; i++) sent += tap.push(piece)?.length ?? 0;
  expect(sent).toBeGreaterThanOrEqual(63 * 64 * 1024 - (1 << 20));
});

test("an answer without figures is counted upwards from its frames", () => {
  const tap = sseTap(chatWire.openFrameReader());
  tap.push(Buffer.from(content + content));
  expect(tap.state().countedTokens).toBe(2);
  tap.push(Buffer.from(content.replace("say", "x".repeat(303))));
  expect(tap.state().countedTokens).toBe(100);
});

test("an error frame is noticed", () => {
  const tap = sseTap(chatWire.openFrameReader());
  tap.push(Buffer.from('data: {"error":{"message":"overloaded"}}\n\n'));
  expect(tap.state().failed).toBe(true);
});
