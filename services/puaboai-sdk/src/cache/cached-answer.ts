/** An answer as it rests in Redis: sealed, so that whoever reads or writes Redis can neither read it nor put another in its place. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

export interface CachedAnswer {
  kind: "whole" | "stream";
  /** The id of the model that gave it. */
  model: string;
  /** Milliseconds since the epoch. */
  storedAt: number;
  /** Seconds after which it is no answer any more. */
  ttlSeconds: number;
  /** What of the answer's head a replay tells again. */
  headers: Readonly<Record<string, string>>;
  /** As the client got it. */
  body: Buffer;
}

const version = 1;
const ivBytes = 12;
const tagBytes = 16;
const headBytes = 1 + ivBytes + tagBytes;
/** Far above what a head takes. */
const longestHead = 16 * 1024;

/** @param name where the entry lies: under another name it does not open */
export function sealAnswer(sealKey: Buffer, name: string, { body, ...head }: CachedAnswer): Buffer {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv("aes-256-gcm", sealKey, iv).setAAD(aadOf(name));
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  const sealed = [cipher.update(length), cipher.update(text), cipher.update(body), cipher.final()];
  return Buffer.concat([Buffer.of(version), iv, cipher.getAuthTag(), ...sealed]);
}

/** `undefined` for whatever is not an entry that this installation has sealed under this very name. */
export function openAnswer(sealKey: Buffer, name: string, entry: Buffer): CachedAnswer | undefined {
  if (entry.length < headBytes + 4 || entry[0] !== version) return undefined;
  try {
    const decipher = createDecipheriv("aes-256-gcm", sealKey, entry.subarray(1, 1 + ivBytes), { authTagLength: tagBytes });
    decipher.setAAD(aadOf(name)).setAuthTag(entry.subarray(1 + ivBytes, headBytes));
    const plain = Buffer.concat([decipher.update(entry.subarray(headBytes)), decipher.final()]);
    const headEnd = 4 + plain.readUInt32BE(0);
    if (headEnd > Math.min(plain.length, longestHead)) return undefined;
    const head = JSON.parse(plain.toString("utf8", 4, headEnd)) as Omit<CachedAnswer, "body">;
    return { ...head, body: plain.subarray(headEnd) };
  } catch {
    return undefined;
  }
}

function aadOf(name: string): Buffer {
  return Buffer.from(`nexus.cached-answer.v${version}\0${name}`);
}
