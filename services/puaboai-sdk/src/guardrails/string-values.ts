import { endOfString, skipSpace, textAt } from "../json/scan-json.ts";
import type { Span } from "../json/scan-object.ts";

/** A string that is a value, not a name, in a JSON text. */
export interface StringValue extends Span {
  text: string;
  /** JSON Pointer; names that are not plain words are told as `*`, as they are the caller's own text. */
  at: string;
}

const quote = 0x22;
const colon = 0x3a;
const comma = 0x2c;
const openBrace = 0x7b;
const openBracket = 0x5b;
const closeBrace = 0x7d;
const closeBracket = 0x5d;

interface Container {
  isObject: boolean;
  /** Of the member under way. */
  name: Span | undefined;
  index: number;
}

/** Every string value of a JSON text that a scan has found well formed, in its order; each is decoded when it is reached. */
export function* stringValues(bytes: Buffer): Generator<StringValue> {
  const containers: Container[] = [];
  let at = 0;
  while (at < bytes.length) {
    const byte = bytes[at];
    const inner = containers.at(-1);
    if (byte === quote) {
      const end = endOfString(bytes, at);
      const next = skipSpace(bytes, end);
      if (inner?.isObject === true && bytes[next] === colon) inner.name = { start: at, end };
      else yield { start: at, end, text: textAt(bytes, at, end), at: pointerOf(bytes, containers) };
      at = end;
      continue;
    }
    if (byte === openBrace || byte === openBracket) {
      containers.push({ isObject: byte === openBrace, name: undefined, index: 0 });
    } else if (byte === closeBrace || byte === closeBracket) {
      containers.pop();
    } else if (byte === comma && inner) {
      inner.index++;
      inner.name = undefined;
    }
    at++;
  }
}

function pointerOf(bytes: Buffer, containers: readonly Container[]): string {
  return containers.map(({ isObject, name, index }) => `/${isObject && name ? wordAt(bytes, name) : index}`).join("");
}

function wordAt(bytes: Buffer, { start, end }: Span): string {
  // Six bytes for each character, where all are escaped.
  const name = end - start <= 242 ? textAt(bytes, start, end) : "";
  return /^[a-z_]{1,40}$/i.test(name) ? name : "*";
}
