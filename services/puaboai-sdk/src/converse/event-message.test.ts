/** Messages of AWS's event stream as a provider writes them; what the tests of this folder share. */
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";

interface Headers {
  kind?: "event" | "exception" | "error";
  ":error-message"?: string;
}

export function eventMessage(name: string, payload: object | string, { kind = "event", ...more }: Headers = {}): Buffer {
  const named = kind === "error" ? {} : { [kind === "exception" ? ":exception-type" : ":event-type"]: name };
  const texts = { ":message-type": kind, ...named, ":content-type": "application/json", ...more };
  const headers = Buffer.concat(Object.entries(texts).map(([header, value]) => headerOf(header, value)));
  const body = Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload));
  const prelude = Buffer.alloc(12);
  prelude.writeUInt32BE(16 + headers.length + body.length, 0);
  prelude.writeUInt32BE(headers.length, 4);
  prelude.writeUInt32BE(crc32(prelude.subarray(0, 8)), 8);
  const before = Buffer.concat([prelude, headers, body]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(before));
  return Buffer.concat([before, sum]);
}

function headerOf(name: string, value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return Buffer.concat([Buffer.from([name.length]), Buffer.from(name), Buffer.from([7]), length, Buffer.from(value)]);
}

// Other test files import this one, and must not run its own test with theirs.
// oxlint-disable-next-line vitest/no-conditional-tests
if (expect.getState().testPath === import.meta.filename) {
  test("a message without headers and payload is the one of the specification", () => {
    const empty = Buffer.from("000000100000000005c248eb7d98c8ff", "hex");
    expect(crc32(empty.subarray(0, 8))).toBe(empty.readUInt32BE(8));
    expect(crc32(empty.subarray(0, 12))).toBe(empty.readUInt32BE(12));
  });
}
