/** Base62 text and the checksum that lets anyone refuse a mistyped key offline. */
import { randomFillSync } from "node:crypto";
import { crc32 } from "node:zlib";

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** `length` characters, each uniform over 62 (bytes ≥ 248 are drawn again: a plain modulo would favour the first eight). */
export function randomBase62(length: number): string {
  let text = "";
  const bytes = new Uint8Array(length * 2);
  while (text.length < length) {
    randomFillSync(bytes);
    for (const byte of bytes) {
      if (byte < 248 && text.length < length) text += alphabet[byte % 62];
    }
  }
  return text;
}

/** CRC-32 (ISO-HDLC, as in zlib) of ASCII text as six base62 characters, most significant first. */
export function crc32Base62(text: string): string {
  let value = crc32(text);
  let out = "";
  for (let i = 0; i < 6; i++) {
    out = alphabet[value % 62] + out;
    value = Math.floor(value / 62);
  }
  return out;
}
