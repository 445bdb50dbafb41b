/**
 * The usage journal: lines of JSON in append-only files of this process, each record one write(2), so that it survives the
 * process in whatever way that ends (a power cut may take the last seconds). A record stands here before the first byte goes
 * upstream and before the last byte goes to the client, and goes when PostgreSQL has it.
 *
 * The record of a begun call is the row that stands if nothing more is heard of it: charged in full.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { keyOf, readRow, type UsageRow, writeRow } from "./usage-row.ts";

export interface Journal {
  /** Appends the latest state of a call. @throws the file system's error; the record is then nowhere. */
  append(row: UsageRow): void;
  /** PostgreSQL has this call: its record may go. */
  settled(row: UsageRow): void;
  /** Bytes on disk. */
  size(): number;
  /** What the last append ended with, until one succeeds. */
  fault(): Error | undefined;
  /** Closes the file; removes it when nothing in it is owed any more. */
  close(): void;
}

interface Segment {
  path: string;
  handle: number;
  bytes: number;
  /** The calls whose latest record is here, by key. */
  live: Map<string, string>;
  liveBytes: number;
}

interface JournalOptions {
  directory: string;
  processId: string;
  /** A new file is begun at this size; tests choose a small one. */
  segmentBytes?: number;
}

export function openJournal(options: JournalOptions): Journal {
  const segmentBytes = options.segmentBytes ?? 4 * 1024 * 1024;
  const places = new Map<string, Segment>();
  const segments = new Set<Segment>();
  let count = 0;
  let torn = false;
  let moving = false;
  let lastFault: Error | undefined;
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  let current = openSegment();

  function openSegment(): Segment {
    const path = join(options.directory, `${options.processId}.${count++}.jsonl`);
    const segment: Segment = { path, handle: openSync(path, "ax", 0o600), bytes: 0, live: new Map(), liveBytes: 0 };
    segments.add(segment);
    return segment;
  }

  function write(key: string, line: string): void {
    if (current.bytes >= segmentBytes) {
      const full = current;
      current = openSegment();
      tidy(full);
    }
    // After a half-written record the next one starts on a line of its own.
    const bytes = Buffer.from(torn ? `\n${line}\n` : `${line}\n`);
    torn = true;
    for (let at = 0; at < bytes.length;) {
      const written = writeSync(current.handle, bytes, at);
      at += written;
      current.bytes += written;
    }
    torn = false;
    leave(key);
    current.live.set(key, line);
    current.liveBytes += line.length;
    places.set(key, current);
  }

  function leave(key: string): void {
    const segment = places.get(key);
    if (!segment) return;
    segment.liveBytes -= segment.live.get(key)?.length ?? 0;
    segment.live.delete(key);
    places.delete(key);
    tidy(segment);
  }

  /** A file goes when nothing in it is owed; when little is, that moves on, so that one long call does not pin megabytes. */
  function tidy(segment: Segment): void {
    if (segment === current || moving || !segments.has(segment)) return;
    if (segment.live.size > 0 && segment.liveBytes * 4 < segment.bytes && current.bytes < segmentBytes) {
      moving = true;
      try {
        for (const [key, line] of [...segment.live]) write(key, line);
      } catch {
        // What could not move stays where it is, and is as safe there.
      } finally {
        moving = false;
      }
    }
    if (segment.live.size === 0) remove(segment);
  }

  function remove(segment: Segment): void {
    if (!segments.delete(segment)) return;
    closeSync(segment.handle);
    rmSync(segment.path, { force: true });
  }

  return {
    append(row) {
      try {
        write(keyOf(row), writeRow(row));
        lastFault = undefined;
      } catch (error) {
        lastFault = error as Error;
        throw error;
      }
    },
    settled: (row) => leave(keyOf(row)),
    size: () => [...segments].reduce((sum, segment) => sum + segment.bytes, 0),
    fault: () => lastFault,
    close() {
      for (const segment of [...segments]) {
        if (segment.live.size === 0) remove(segment);
        else closeSync(segment.handle);
      }
      segments.clear();
    },
  };
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
