/**
 * AWS's event stream encoding (https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html), made into
 * server-sent events, so that all that reads a stream reads this one too. A message is
 *
 *     total length (4) · length of the headers (4) · CRC-32 of these 8 · headers · payload · CRC-32 of all before
 *
 * with numbers in network order. The payloads of models are JSON.
 */
import { crc32 } from "node:zlib";
import { growingBuffer } from "../wire/growing-buffer.ts";
import type { StreamDecoder } from "../wire/wire-format.ts";

export const eventStreamType = "application/vnd.amazon.eventstream";

const preludeBytes = 12;
/** Prelude and the checksum at the end. */
const leastBytes = preludeBytes + 4;
// What AWS sends at most: 24 MiB of payload, 128 KiB of headers.
const mostBytes = 25 << 20;

export function openEventStream(): StreamDecoder {
  const held = growingBuffer();
  /** With fewer bytes there is nothing to be done: no whole prelude, or no whole message. */
  let needed = preludeBytes;
  return {
    push(chunk) {
      held.push(chunk);
      if (held.size() < needed) return undefined;
      const bytes = held.take() ?? chunk;
      const frames: Buffer[] = [];
      let at = 0;
      for (;;) {
        const size = sizeAt(bytes, at);
        needed = size ?? preludeBytes;
        if (size === undefined || at + size > bytes.length) break;
        frames.push(frameOf(bytes.subarray(at, at + size)));
        at += size;
      }
      held.push(bytes.subarray(at));
      return frames.length > 0 ? Buffer.concat(frames) : undefined;
    },
    isTorn: () => held.size() > 0,
  };
}

/** Of the message that begins there; `undefined` while its prelude is not whole. @throws Error for what is no message */
function sizeAt(bytes: Buffer, at: number): number | undefined {
  if (bytes.length - at < preludeBytes) return undefined;
  if (crc32(bytes.subarray(at, at + 8)) !== bytes.readUInt32BE(at + 8)) throw new Error("the prelude's checksum is wrong");
  const size = bytes.readUInt32BE(at);
  if (size < leastBytes || size > mostBytes) throw new Error(`a message of ${size} bytes`);
  return size;
}

/** @throws Error for what is no message */
function frameOf(message: Buffer): Buffer {
  const end = message.length - 4;
  if (crc32(message.subarray(0, end)) !== message.readUInt32BE(end)) throw new Error("a message's checksum is wrong");
  const payloadAt = preludeBytes + message.readUInt32BE(4);
  if (payloadAt > end) throw new Error("headers beyond their message");
  const headers = readHeaders(message.subarray(preludeBytes, payloadAt));
  const payload = message.subarray(payloadAt, end);
  const name = nameOf(headers);
  const data = name === "error" ? Buffer.from(JSON.stringify({ message: headers.get(":error-message") ?? "" })) : payload;
  return Buffer.concat([Buffer.from(`event: ${name}\ndata: `), inOneLine(data), Buffer.from("\n\n")]);
}

function nameOf(headers: ReadonlyMap<string, string>): string {
  const kind = headers.get(":message-type");
  if (kind === "error") return "error";
  const name = headers.get(kind === "exception" ? ":exception-type" : ":event-type") ?? "";
  if (!/^\w{1,64}$/.test(name)) throw new Error("a message without a name");
  return name;
}

/** In JSON a line break stands only between tokens, where a blank does as well. */
function inOneLine(payload: Buffer): Buffer {
  if (!payload.includes(0x0a) && !payload.includes(0x0d)) return payload;
  return Buffer.from(payload.map((byte) => (byte === 0x0a || byte === 0x0d ? 0x20 : byte)));
}

/** Bytes of a value, by its type; texts and byte arrays (6, 7) tell theirs. */
const valueBytes: readonly (number | undefined)[] = [0, 0, 1, 2, 4, 8, undefined, undefined, 8, 16];
const textType = 7;

/** Those that are texts. @throws Error when they do not fit their place */
function readHeaders(bytes: Buffer): Map<string, string> {
  const headers = new Map<string, string>();
  let at = 0;
  const take = (count: number): Buffer => {
    if (at + count > bytes.length) throw new Error("a header beyond its place");
    at += count;
    return bytes.subarray(at - count, at);
  };
  while (at < bytes.length) {
    const name = take(take(1).readUInt8()).toString("utf8");
    const type = take(1).readUInt8();
    if (type >= valueBytes.length) throw new Error(`a header of type ${type}`);
    const value = take(valueBytes[type] ?? take(2).readUInt16BE());
    if (type === textType) headers.set(name, value.toString("utf8"));
  }
  return headers;
}
