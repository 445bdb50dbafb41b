/** An answer as it rests in Redis: sealed, so that whoever reads or writes Redis can neither read it nor put another in its place. */
import { seal, unseal } from "../sealing/seal.ts";

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

/** Far above what a head takes. */
const longestHead = 16 * 1024;

/** @param name where the entry lies: under another name it does not open */
export function sealAnswer(sealKey: Buffer, name: string, { body, ...head }: CachedAnswer): Buffer {
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return seal(sealKey, placeOf(name), [length, text, body]);
}

/** `undefined` for whatever is not an entry that this installation has sealed under this very name. */
export function openAnswer(sealKey: Buffer, name: string, entry: Buffer): CachedAnswer | undefined {
  const plain = unseal(sealKey, placeOf(name), entry);
  if (!plain) return undefined;
  try {
    const headEnd = 4 + plain.readUInt32BE(0);
    if (headEnd > Math.min(plain.length, longestHead)) return undefined;
    const head = JSON.parse(plain.toString("utf8", 4, headEnd)) as Omit<CachedAnswer, "body">;
    return { ...head, body: plain.subarray(headEnd) };
  } catch {
    return undefined;
  }
}

function placeOf(name: string): string {
  return `nexus.cached-answer.v1\0${name}`;
}
