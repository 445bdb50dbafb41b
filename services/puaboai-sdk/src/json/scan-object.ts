import { isUtf8 } from "node:buffer";
import { Problem } from "@nexus/core";
import { fault, skipName, skipSpace, skipValue, textAt } from "./scan-json.ts";

/** Half-open range of bytes. */
export interface Span {
  start: number;
  end: number;
}

/** A member: where its value stands, and its name, quotes included. */
interface Member extends Span {
  name: Span;
}

export interface ObjectScan {
  /** Where the value of each wanted member stands. */
  values: Map<string, Member>;
  /** Just behind the opening brace: where a member can be inserted. */
  insertAt: number;
  /** An inserted member needs no comma behind it. */
  empty: boolean;
}

interface Options {
  /** The members whose place is wanted. */
  wanted: ReadonlySet<string>;
  /** Called with every member name below the top level. */
  noteInnerName?: (name: string) => void;
  /** JSON Pointer of the object, for errors. */
  pointer?: string;
}

// Six bytes of `\u0061` for each character of the longest name that matters.
const longestName = 160;

/**
 * Checks a whole JSON object and tells where its wanted members stand.
 * A wanted member that stands twice, or whose name differs only in case, is refused: what we check would not be what an
 * upstream acts on (some take the first, some the last, and Go's decoder matches names without case).
 * @throws Problem `malformed_json`; `invalid_request` when it is no object or a wanted member is ambiguous
 */
export function scanObject(bytes: Buffer, options: Options): ObjectScan {
  if (!isUtf8(bytes)) throw new Problem("malformed_json", "the body is not valid UTF-8");
  const first = skipSpace(bytes, 0);
  const scan: ObjectScan = { values: new Map(), insertAt: first + 1, empty: false };
  if (bytes[first] !== 0x7b) {
    endOfText(bytes, skipValue(bytes, first));
    throw new Problem("invalid_request", undefined, {
      errors: [{ pointer: options.pointer ?? "", detail: "must be an object" }],
    });
  }
  const noteName = innerNameReader(bytes, options.noteInnerName);
  let at = skipSpace(bytes, first + 1);
  if (bytes[at] === 0x7d) {
    scan.empty = true;
    endOfText(bytes, at + 1);
    return scan;
  }
  for (;;) {
    const name: Span = { start: at, end: at };
    const start = skipName(bytes, at, (_from, to) => {
      name.end = to;
    });
    const end = skipValue(bytes, start, noteName);
    note(scan, nameAt(bytes, name.start, name.end), { start, end, name }, options);
    at = skipSpace(bytes, end);
    if (bytes[at] === 0x7d) break;
    if (bytes[at] !== 0x2c) throw fault(bytes, at);
    at = skipSpace(bytes, at + 1);
  }
  endOfText(bytes, at + 1);
  return scan;
}

function endOfText(bytes: Buffer, from: number): void {
  const at = skipSpace(bytes, from);
  if (at !== bytes.length) throw fault(bytes, at);
}

function note(scan: ObjectScan, name: string | undefined, member: Member, options: Options): void {
  if (name === undefined) return;
  const meant = options.wanted.has(name) ? name : foldedMatch(name, options.wanted);
  if (meant === undefined) return;
  const pointer = `${options.pointer ?? ""}/${meant}`;
  if (meant !== name) throw ambiguous(pointer, `${JSON.stringify(name)} differs from this member only in case`);
  if (scan.values.has(name)) throw ambiguous(pointer, "stands twice in the object");
  scan.values.set(name, member);
}

/** Upper then lower case also folds U+017F to s and U+212A to k, as Go's decoder does. */
function foldedMatch(name: string, wanted: ReadonlySet<string>): string | undefined {
  const folded = name.toUpperCase().toLowerCase();
  return wanted.has(folded) ? folded : undefined;
}

function ambiguous(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", undefined, { errors: [{ pointer, detail }] });
}

/** The text of a member name, escapes resolved; `undefined` when it is too long to be one that matters. */
function nameAt(bytes: Buffer, from: number, to: number): string | undefined {
  if (to - from > longestName) return undefined;
  return textAt(bytes, from, to);
}

function innerNameReader(
  bytes: Buffer,
  noteInnerName: Options["noteInnerName"],
): ((from: number, to: number) => void) | undefined {
  if (!noteInnerName) return undefined;
  return (from, to) => {
    const name = nameAt(bytes, from, to);
    if (name !== undefined) noteInnerName(name);
  };
}

/** The value of a span, made by the runtime's own parser; for small values that we act on. */
export function valueAt(bytes: Buffer, span: Span): unknown {
  return JSON.parse(bytes.toString("utf8", span.start, span.end)) as unknown;
}
