/**
 * A strict JSON scanner (RFC 8259) over bytes: it tells where values stand without making them.
 *
 * The gateway acts on half a dozen fields of a body that may hold megabytes, and must hand the rest on byte for byte; parsing
 * and writing again would lose number precision, member order and duplicate names, and cost several times as much. One pass,
 * no recursion, no allocation that grows with the input.
 */
import { Problem } from "@nexus/core";

/** Deeper nesting than any real request; a bound keeps the stack of containers small. */
const deepest = 256;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openBrace = 0x7b;
const openBracket = 0x5b;
/** `{` + 2 is `}` and `[` + 2 is `]`. */
const toClosing = 2;

/** Called with the span of each member name inside a value, quotes included. */
type NoteName = (start: number, end: number) => void;

/** Where the value that starts at `from` ends. @throws Problem `malformed_json` naming the byte */
export function skipValue(bytes: Uint8Array, from: number, noteName?: NoteName): number {
  const first = bytes[from];
  return first === openBrace || first === openBracket ? skipNested(bytes, from, noteName) : skipScalar(bytes, from);
}

function skipNested(bytes: Uint8Array, from: number, noteName?: NoteName): number {
  const containers: number[] = [];
  let at = from;
  for (;;) {
    const first = bytes[at];
    if (first === openBrace || first === openBracket) {
      if (containers.length === deepest)
        throw new Problem("malformed_json", `nested deeper than ${deepest} levels at byte ${at}`);
      containers.push(first);
      at = skipSpace(bytes, at + 1);
      if (bytes[at] !== first + toClosing) {
        if (first === openBrace) at = skipName(bytes, at, noteName);
        continue;
      }
    } else {
      at = skipScalar(bytes, at);
    }
    for (;;) {
      const container = containers.at(-1);
      if (container === undefined) return at;
      at = skipSpace(bytes, at);
      if (bytes[at] !== container + toClosing) {
        if (bytes[at] !== comma) throw fault(bytes, at);
        at = skipSpace(bytes, at + 1);
        if (container === openBrace) at = skipName(bytes, at, noteName);
        break;
      }
      containers.pop();
      at++;
    }
  }
}

/** Skips `"name" :` and the space around; returns where the value starts. */
export function skipName(bytes: Uint8Array, from: number, noteName?: NoteName): number {
  if (bytes[from] !== quote) throw fault(bytes, from);
  const end = skipString(bytes, from);
  noteName?.(from, end);
  const at = skipSpace(bytes, end);
  if (bytes[at] !== colon) throw fault(bytes, at);
  return skipSpace(bytes, at + 1);
}

export function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at++;
  }
}

function skipScalar(bytes: Uint8Array, from: number): number {
  switch (bytes[from]) {
    case quote:
      return skipString(bytes, from);
    case 0x74:
      return skipLiteral(bytes, from, "true");
    case 0x66:
      return skipLiteral(bytes, from, "false");
    case 0x6e:
      return skipLiteral(bytes, from, "null");
    default:
      return skipNumber(bytes, from);
  }
}

function skipString(bytes: Uint8Array, from: number): number {
  const length = bytes.length;
  for (let at = from + 1; at < length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === quote) return at + 1;
    if (byte < 0x20) throw fault(bytes, at);
    if (byte === backslash) at = skipEscape(bytes, at + 1);
  }
  throw fault(bytes, length);
}

/** Behind the closing quote of the string that opens at `from`, in JSON that is well formed. */
export function endOfString(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  while (at < bytes.length && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1;
  return at + 1;
}

/** The string that stands there, quotes included, in JSON that is well formed: its text, escapes resolved. */
export function textAt(bytes: Buffer, from: number, to: number): string {
  const raw = bytes.toString("utf8", from + 1, to - 1);
  return raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
}

/** Returns the last byte of the escape whose letter stands at `at`. */
function skipEscape(bytes: Uint8Array, at: number): number {
  const letter = bytes[at];
  if (letter !== 0x75) {
    // " \ / b f n r t
    if (letter === quote || letter === backslash || letter === 0x2f) return at;
    if (letter === 0x62 || letter === 0x66 || letter === 0x6e || letter === 0x72 || letter === 0x74) return at;
    throw fault(bytes, at);
  }
  for (let i = 1; i <= 4; i++) if (!isHexDigit(bytes[at + i])) throw fault(bytes, at + i);
  return at + 4;
}

function skipLiteral(bytes: Uint8Array, from: number, literal: string): number {
  for (let i = 0; i < literal.length; i++) if (bytes[from + i] !== literal.charCodeAt(i)) throw fault(bytes, from + i);
  return from + literal.length;
}

function skipNumber(bytes: Uint8Array, from: number): number {
  let at = bytes[from] === 0x2d ? from + 1 : from;
  // A number has no leading zero.
  at = bytes[at] === 0x30 ? at + 1 : skipDigits(bytes, at);
  if (bytes[at] === 0x2e) at = skipDigits(bytes, at + 1);
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    at++;
    if (bytes[at] === 0x2b || bytes[at] === 0x2d) at++;
    at = skipDigits(bytes, at);
  }
  return at;
}

function skipDigits(bytes: Uint8Array, from: number): number {
  let at = from;
  while (isDigit(bytes[at])) at++;
  if (at === from) throw fault(bytes, at);
  return at;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function isHexDigit(byte: number | undefined): boolean {
  return isDigit(byte) || (byte !== undefined && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

/** What stands at `at` is not JSON. Only the position is told: the content is the caller's. */
export function fault(bytes: Uint8Array, at: number): Problem {
  return new Problem(
    "malformed_json",
    at >= bytes.length ? "the body ends before its JSON does" : `unexpected content at byte ${at}`,
  );
}
