/** Which texts may be keys at all. What has no such shape is refused without asking anybody. */
import { parseApiKey } from "@nexus/core";
import type { KeyFormatRow } from "./keys.store.ts";

/** Longer than any key may be: hashing must not cost more because a caller sent more. */
export const longestKey = 512;
const longestOwnKey = 64;

const alphabets: Record<KeyFormatRow["alphabet"], RegExp> = {
  base62: /^[0-9A-Za-z]+$/,
  base64url: /^[0-9A-Za-z_-]+$/,
  hex: /^[0-9a-fA-F]+$/,
  printable: /^[\x21-\x7e]+$/,
};

export interface KeyShapes {
  /** True for a key of ours with its checksum, and for the shape of a foreign key that was imported. */
  mayBeKey(text: string): boolean;
  set(formats: readonly KeyFormatRow[]): void;
}

export function openKeyShapes(): KeyShapes {
  let foreign: readonly KeyFormatRow[] = [];
  return {
    mayBeKey: (text) => {
      if (text.length <= longestOwnKey && parseApiKey(text) !== undefined) return true;
      return foreign.some((format) => fits(format, text));
    },
    set: (formats) => {
      foreign = formats;
    },
  };
}

function fits({ prefix, min_length: min, max_length: max, alphabet }: KeyFormatRow, text: string): boolean {
  return (
    text.length >= min && text.length <= max && text.startsWith(prefix) && alphabets[alphabet].test(text.slice(prefix.length))
  );
}
