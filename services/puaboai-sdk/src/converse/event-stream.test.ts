import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { eventMessage } from "./event-message.test.ts";
import { openEventStream } from "./event-stream.ts";

const hello = eventMessage("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "héllo" } });
const helloFrame = 'event: contentBlockDelta\ndata: {"contentBlockIndex":0,"delta":{"text":"héllo"}}\n\n';

test("messages come out as events, however they are cut", () => {
  const bytes = Buffer.concat([hello, hello, hello]);
  for (const size of [1, 2, 7, 13, hello.length - 1, hello.length, hello.length + 5, bytes.length]) {
    const decoder = openEventStream();
    let told = "";
    for (let at = 0; at < bytes.length; at += size) told += decoder.push(bytes.subarray(at, at + size))?.toString() ?? "";
    expect(told).toBe(helloFrame.repeat(3));
    expect(decoder.isTorn()).toBe(false);
  }
});

test("each leaves as soon as it is whole, and half of one is told as torn", () => {
  const decoder = openEventStream();
  expect(decoder.push(Buffer.concat([hello, hello.subarray(0, 20)]))?.toString()).toBe(helloFrame);
  expect(decoder.isTorn()).toBe(true);
  expect(decoder.push(hello.subarray(20))?.toString()).toBe(helloFrame);
});

test("an exception and an error are events of their name, and a payload stays in one line", () => {
  const thrown = eventMessage("throttlingException", { message: "slow down" }, { kind: "exception" });
  expect(openEventStream().push(thrown)?.toString()).toBe('event: throttlingException\ndata: {"message":"slow down"}\n\n');
  const failed = eventMessage("", "", { kind: "error", ":error-message": "it\nbroke" });
  expect(openEventStream().push(failed)?.toString()).toBe('event: error\ndata: {"message":"it\\nbroke"}\n\n');
  const wide = eventMessage("metadata", '{\r\n "a": 1\n}');
  expect(openEventStream().push(wide)?.toString()).toBe('event: metadata\ndata: {   "a": 1 }\n\n');
});

test("a large message in small pieces is not copied again with each of them", () => {
  const large = eventMessage("contentBlockDelta", { text: "x".repeat(20_000_000) });
  const decoder = openEventStream();
  const startedAt = performance.now();
  let told: Buffer | undefined;
  for (let at = 0; at < large.length; at += 4096) told = decoder.push(large.subarray(at, at + 4096)) ?? told;
  expect(told!.length).toBeGreaterThan(20_000_000);
  // Copied each time it would be 50 GB.
  expect(performance.now() - startedAt).toBeLessThan(5000);
});

const changed = (at: number, value: number): Buffer => {
  const bytes = Buffer.from(hello);
  bytes[at] = value;
  return bytes;
};
/** With its checksums made right again. */
function resealed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(hello);
  change(bytes);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), bytes.length - 4);
  return bytes;
}

test.each([
  ["a prelude that was changed", changed(0, 1), "prelude's checksum"],
  ["a payload that was changed", changed(hello.length - 10, 0x20), "message's checksum"],
  ["a length of less than a message has", resealed((bytes) => bytes.writeUInt32BE(15, 0)), "15 bytes"],
  ["a length of gigabytes", resealed((bytes) => bytes.writeUInt32BE(0xffffffff, 0)), "4294967295 bytes"],
  ["headers that are longer than the message", resealed((bytes) => bytes.writeUInt32BE(5000, 4)), "beyond their message"],
  ["a header of an unknown type", resealed((bytes) => bytes.writeUInt8(77, 12 + 1 + ":message-type".length)), "type 77"],
  ["a name longer than its place", resealed((bytes) => bytes.writeUInt8(255, 12)), "beyond its place"],
  ["an event that has no name", eventMessage("", {}), "without a name"],
  ["server-sent events where binary ones should be", Buffer.from("data: {}\n\ndata: {}\n\n"), "checksum"],
])("%s is refused", (_, bytes, said) => {
  expect(() => openEventStream().push(bytes)).toThrow(said);
});
