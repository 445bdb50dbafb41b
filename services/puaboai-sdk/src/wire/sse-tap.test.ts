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

test("a large frame leaves whole, and one that has no end breaks the stream instead of filling the memory", () => {
  const tap = sseTap(chatWireWithOurUsage.openFrameReader());
  const large = content.replace("say", "x".repeat(3_000_000));
  for (let at = 0; at < large.length - 1; at += 65_536)
    expect(tap.push(Buffer.from(large.slice(at, at + 65_536).slice(0, large.length - 1 - at)))).toBeUndefined();
  expect(tap.push(Buffer.from("\n"))?.toString() === large).toBe(true);
  expect(tap.state().countedTokens).toBeGreaterThan(999_000);
  const piece = Buffer.alloc(64 * 1024, 0x61);
  let pushed = 0;
  while (tap.state().broken === undefined) {
    expect(tap.push(piece)).toBeUndefined();
    expect((pushed += piece.length)).toBeLessThan(64 << 20);
  }
  expect(tap.state().broken).toBe("a frame is too large");
  expect(tap.push(Buffer.from(content))).toBeUndefined();
});

test("nothing leaves after the end", () => {
  expect(through(sseTap(chatWire.openFrameReader()), [done + content, content])).toBe(done);
});

test.each([
  ["the end without its blank line", "data: [DONE]", "data: [DONE]\n\n"],
  ["a whole frame without it", content.trim(), `${content.trim()}\n\n`],
  ["half of a frame", content.slice(0, 40), ""],
  ["the name of an event", "event: message_delta\n", ""],
  ["a comment", ": ping\n", ""],
])("what is left at the end of the transport: %s", (_, rest, leaves) => {
  const tap = sseTap(chatWire.openFrameReader());
  expect(through(tap, [content, rest])).toBe(content + leaves);
  expect(tap.state().broken !== undefined).toBe(rest === content.slice(0, 40));
});

test("an answer without figures is counted upwards from its frames", () => {
  const tap = sseTap(chatWire.openFrameReader());
  tap.push(Buffer.from(content + content));
  expect(tap.state().countedTokens).toBe(2);
  tap.push(Buffer.from(content.replace("say", "x".repeat(303))));
  expect(tap.state().countedTokens).toBe(100);
});

test("one frame that holds the whole answer is counted by its length", () => {
  const tap = sseTap(chatWire.openFrameReader());
  tap.push(Buffer.from(content.replace("say", "x".repeat(30_512))));
  expect(tap.state().countedTokens).toBeGreaterThan(10_000);
});

test.each([
  ["strings", '{"prompt_tokens":"9","completion_tokens":"4"}'],
  ["negative", '{"prompt_tokens":9,"completion_tokens":-4}'],
  ["fractions", '{"prompt_tokens":9.5,"completion_tokens":4}'],
  ["of the input alone", '{"prompt_tokens":9}'],
  ["beyond all counts", '{"prompt_tokens":1e308,"completion_tokens":1}'],
  ["a list", "[9,4]"],
])("figures that are %s are none, and that is noted", (_, figures) => {
  const tap = sseTap(chatWire.openFrameReader());
  tap.push(Buffer.from(`data: {"choices":[],"usage":${figures}}\n\n`));
  expect(tap.state()).toMatchObject({ usage: undefined, usageIsWhole: false, usageIsUnfit: true });
});

test("an error frame is noticed", () => {
  const tap = sseTap(chatWire.openFrameReader());
  tap.push(Buffer.from('data: {"error":{"message":"overloaded"}}\n\n'));
  expect(tap.state().failed).toBe(true);
});
