/**
 * The usage journal: lines of JSON in append-only files of this process, handed over by write(2), so that they survive the
 * process in whatever way that ends (a power cut may take the last seconds). A record stands here before the first byte goes
 * upstream and before the last byte goes to the client, and goes when PostgreSQL has it.
 *
 * The record of a begun call is the row that stands if nothing more is heard of it: charged in full.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { keyOf, readRow, type UsageRow, writeRow } from "./usage-row.ts";

interface Segment {
  path: string;
  handle: number;
  bytes: number;
  /** How many records of it are the latest of a call, and how long they are. */
  live: number;
  liveBytes: number;
}

/** The latest record of a call. */
interface Place {
  segment: Segment;
  line: string;
}

interface JournalOptions {
  directory: string;
  processId: string;
  /** A new file is begun at this size; tests choose a small one. */
  segmentBytes?: number;
}

/** The journal of this process; owns its files. */
export class Journal {
  readonly #options: Required<JournalOptions>;
  /** By call, which PostgreSQL has not taken. */
  readonly #places = new Map<string, Place>();
  readonly #segments = new Set<Segment>();
  /** Records that are written at the end of this turn of the event loop. */
  readonly #soon: { call: string; line: string }[] = [];
  #soonBytes = 0;
  #turn: PromiseWithResolvers<void> | undefined;
  #current: Segment;
  #count = 0;
  #liveBytes = 0;
  #torn = false;
  #moving = false;
  #fault: Error | undefined;

  constructor(options: JournalOptions) {
    this.#options = { segmentBytes: 16 * 1024 * 1024, ...options };
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    this.#current = this.#openSegment();
  }

  /** Bytes of records that PostgreSQL has not taken. What the files hold beyond them is bounded by their size. */
  get size(): number {
    return this.#liveBytes + this.#soonBytes;
  }

  /** What the last append ended with, until one succeeds. */
  get fault(): Error | undefined {
    return this.#fault;
  }

  /** Appends the latest state of a call. @throws the file system's error; the record may then be lost with the process */
  append(row: UsageRow): void {
    this.#hold(row);
    this.#flush();
  }

  /** The same in one write with what else comes in this turn of the event loop; resolves when it is done. */
  appendSoon(row: UsageRow): Promise<void> {
    this.#hold(row);
    if (!this.#turn) {
      this.#turn = Promise.withResolvers();
      setImmediate(() => this.#flushQuietly());
    }
    return this.#turn.promise;
  }

  /** PostgreSQL has this call: its record may go. */
  settled(row: UsageRow): void {
    const call = callOf(row);
    const place = this.#places.get(call);
    if (!place) return;
    this.#places.delete(call);
    this.#leave(place.segment, place.line.length);
    // A table that V8 has not collected yet may still hold the place.
    place.line = "";
  }

  /** Closes the files and removes those in which nothing is owed any more. */
  close(): void {
    this.#flushQuietly();
    for (const segment of this.#segments) {
      if (segment.live === 0) this.#remove(segment);
      else closeSync(segment.handle);
    }
    this.#segments.clear();
  }

  #openSegment(): Segment {
    const path = join(this.#options.directory, `${this.#options.processId}.${this.#count++}.jsonl`);
    const segment: Segment = { path, handle: openSync(path, "ax", 0o600), bytes: 0, live: 0, liveBytes: 0 };
    this.#segments.add(segment);
    return segment;
  }

  #hold(row: UsageRow): void {
    const line = writeRow(row);
    this.#soon.push({ call: callOf(row), line });
    this.#soonBytes += line.length;
  }

  #flush(): void {
    if (this.#soon.length === 0) return;
    const records = this.#soon.splice(0);
    const turn = this.#turn;
    this.#soonBytes = 0;
    this.#turn = undefined;
    try {
      this.#write(records.map(({ line }) => line).join("\n"));
      for (const { call, line } of records) this.#put(call, line);
      this.#fault = undefined;
      turn?.resolve();
    } catch (error) {
      this.#fault = error as Error;
      turn?.reject(error);
      throw error;
    }
  }

  #flushQuietly(): void {
    try {
      this.#flush();
    } catch {
      // Those who wait have heard of it.
    }
  }

  /** Appends lines. The file they stand in then is the current one. */
  #write(lines: string): void {
    if (this.#current.bytes >= this.#options.segmentBytes) {
      const full = this.#current;
      this.#current = this.#openSegment();
      this.#tidy(full);
    }
    const segment = this.#current;
    // After a half-written record the next one starts on a line of its own.
    const bytes = Buffer.from(this.#torn ? `\n${lines}\n` : `${lines}\n`);
    this.#torn = true;
    for (let at = 0; at < bytes.length;) {
      const written = writeSync(segment.handle, bytes, at);
      at += written;
      segment.bytes += written;
    }
    this.#torn = false;
  }

  /** The line just written is the latest of its call. */
  #put(call: string, line: string): void {
    const segment = this.#current;
    segment.live++;
    segment.liveBytes += line.length;
    this.#liveBytes += line.length;
    const place = this.#places.get(call);
    if (!place) return void this.#places.set(call, { segment, line });
    const before = place.segment;
    const length = place.line.length;
    place.segment = segment;
    place.line = line;
    this.#leave(before, length);
  }

  #leave(segment: Segment, bytes: number): void {
    segment.live--;
    segment.liveBytes -= bytes;
    this.#liveBytes -= bytes;
    this.#tidy(segment);
  }

  /** A file goes when nothing in it is owed; when little is, that moves on, so that one long call does not pin megabytes. */
  #tidy(segment: Segment): void {
    if (segment === this.#current || this.#moving || !this.#segments.has(segment)) return;
    const movable = segment.live > 0 && segment.liveBytes * 4 < segment.bytes;
    if (movable && this.#current.bytes < this.#options.segmentBytes) this.#moveOn(segment);
    if (segment.live === 0) this.#remove(segment);
  }

  #moveOn(segment: Segment): void {
    this.#moving = true;
    try {
      const left = Array.from(this.#places).filter(([, place]) => place.segment === segment);
      this.#write(left.map(([, { line }]) => line).join("\n"));
      for (const [call, { line }] of left) this.#put(call, line);
    } catch {
      // What could not move stays where it is, and is as safe there.
    } finally {
      this.#moving = false;
    }
  }

  #remove(segment: Segment): void {
    if (!this.#segments.delete(segment)) return;
    closeSync(segment.handle);
    rmSync(segment.path, { force: true });
  }
}

/** The latest record of every call in the journal files of one process, and how many lines were torn. */
export function readJournal(directory: string, processId: string): { rows: UsageRow[]; tornLines: number } {
  const rows = new Map<string, UsageRow>();
  let tornLines = 0;
  for (const { path } of journalFiles(directory, processId)) {
    for (const line of readFileSync(path, "utf8").split("\n")) {
      if (line === "") continue;
      const row = readRow(line);
      if (!row) tornLines++;
      // A record may have moved to a later file while its older self was not yet gone: the finished one stands.
      else if (rows.get(keyOf(row))?.outcome !== "crash" && rows.has(keyOf(row))) continue;
      else rows.set(keyOf(row), row);
    }
  }
  return { rows: [...rows.values()], tornLines };
}

/** Removes the journal files of a process whose rows PostgreSQL has. */
export function removeJournal(directory: string, processId: string): void {
  for (const { path } of journalFiles(directory, processId)) rmSync(path, { force: true });
}

function journalFiles(directory: string, processId: string): { path: string; number: number }[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith(`${processId}.`) && name.endsWith(".jsonl"))
    .map((name) => ({ path: join(directory, name), number: Number(name.slice(processId.length + 1, -".jsonl".length)) }))
    .toSorted((a, b) => a.number - b.number);
}

/** Names a call within one process. */
function callOf({ requestId, attempt }: UsageRow): string {
  return attempt === 1 ? requestId : `${requestId}.${attempt}`;
}
