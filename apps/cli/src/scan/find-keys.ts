/** Finds platform keys in bytes that come piece by piece. */
import { parseApiKey } from "@nexus/core";

/** Bytes searched at once. A bigger piece gains nothing: disk and search both stream. */
const pieceBytes = 1024 * 1024;
const prefix = "pv_";
/** Of the shortest (`pv_sk_live_`, and the same with `rk` and `test`) and of the longest key (`pv_svc_live_`). */
const shortest = 11 + 48;
const longest = 12 + 48;
const lineFeed = 10;
const [letterK, letterR, letterS, letterV] = [0x6b, 0x72, 0x73, 0x76];

export interface FoundKey {
  /** The whole key: for its hash, never for a screen. */
  readonly key: string;
  /** The part that may be shown: `pv_sk_live_ab12cd34ef`. */
  readonly prefix: string;
  /** Bytes before the key. */
  readonly offset: number;
  /** Both counted from 1, the column in bytes; 0 where lines were not counted. */
  readonly line: number;
  readonly column: number;
}

export interface KeyFinder {
  /** Where the next bytes are to be written; never empty. */
  space(): Buffer;
  /** Searches what was written there: the first `count` bytes of it. */
  filled(count: number): void;
  /** Begins another text. */
  reset(): void;
}

/**
 * Keeps the end of every piece until the next, so that a key is found wherever a border cuts it. Memory is one piece, reused.
 * @param options.countLines counts lines beyond the first piece too, which costs more than the search; without, keys beyond it
 * are given line 0. Return false from `found` to leave the rest of the piece alone.
 */
export function openKeyFinder(options: { countLines: boolean }, found: (key: FoundKey) => boolean | void): KeyFinder {
  const buffer = Buffer.allocUnsafe(pieceBytes + longest);
  /** Bytes of the piece before that stand at the beginning of the buffer, and where the buffer begins in the text. */
  let kept = 0;
  let start = 0;
  let lines = openLineCount();

  function report(at: number, text: string, shown: string): boolean {
    const counted = options.countLines || start === 0;
    const { line, column } = counted ? lines.of(buffer, at) : { line: 0, column: 0 };
    return found({ key: text, prefix: shown, offset: start + at, line, column }) !== false;
  }

  return {
    space: () => buffer.subarray(kept),
    filled(count) {
      const end = kept + count;
      const view = buffer.subarray(0, end);
      let from = 0;
      for (let at = view.indexOf(prefix); at >= 0; at = view.indexOf(prefix, at + 1)) {
        const hit = keyAt(view, at);
        if (!hit) continue;
        from = at + hit.key.length;
        if (!report(at, hit.key, hit.shown)) return;
      }
      // What a key could begin in and not end in, save what belongs to a key that was found.
      const next = Math.max(end - longest + 1, from, 0);
      if (options.countLines) lines.pass(buffer, next);
      kept = end - next;
      buffer.copyWithin(0, next, end);
      start += next;
      lines.shift(next);
    },
    reset() {
      kept = 0;
      start = 0;
      lines = openLineCount();
    },
  };
}

/** A key has no fixed neighbours: the checksum alone tells, so one that stands inside of a longer word is found as well. */
function keyAt(view: Buffer, at: number): { key: string; shown: string } | undefined {
  // Two bytes first: text can be full of the prefix, and it takes many times as long to make a string and look at that.
  const [first, second] = [view[at + prefix.length], view[at + prefix.length + 1]];
  const isService = first === letterS && second === letterV;
  if (!isService && !(second === letterK && (first === letterS || first === letterR))) return undefined;
  const length = isService ? longest : shortest;
  if (at + length > view.length) return undefined;
  const key = view.toString("latin1", at, at + length);
  const parsed = parseApiKey(key);
  return parsed && { key, shown: parsed.displayPrefix };
}

/** Counts the lines of a buffer whose content moves on. */
function openLineCount() {
  let line = 1;
  /** In the present buffer: where the line begins (before it for one that began earlier), and how far it was read. */
  let lineStart = 0;
  let read = 0;
  function pass(buffer: Buffer, to: number): void {
    for (let at = buffer.indexOf(lineFeed, read); at >= 0 && at < to; at = buffer.indexOf(lineFeed, at + 1)) {
      line++;
      lineStart = at + 1;
    }
    read = Math.max(read, to);
  }
  return {
    pass,
    of(buffer: Buffer, at: number): { line: number; column: number } {
      pass(buffer, at);
      return { line, column: at - lineStart + 1 };
    },
    shift(by: number): void {
      lineStart -= by;
      read = Math.max(0, read - by);
    },
  };
}
