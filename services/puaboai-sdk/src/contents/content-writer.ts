/** The way of contents into PostgreSQL: aside of calls, bounded in memory, and given up rather than waited for. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { insertContents, type NewContent } from "./contents.store.ts";
import { sealText } from "./kept-text.ts";
import { maskSecrets } from "./mask-secrets.ts";
import type { RecordedContent, RecordedText } from "./record-content.ts";

/** What became of a content: `full`: no room in memory; `failed`: PostgreSQL took it not; `refused`: it was switched off meanwhile. */
export type ContentEvent = "kept" | "full" | "failed" | "refused";

export interface WriterOptions {
  db: Db;
  sealKey: Buffer;
  logger: Pick<Logger, "warn">;
  count: (event: ContentEvent, contents: number) => void;
  /** Of all contents that are recorded or wait, bytes. */
  roomBytes?: number;
}

export interface WaitingContent {
  requestId: string;
  organizationId: string;
  /** Longest text that is kept. */
  maxBytes: number;
  content: RecordedContent;
  /** What it takes of the room. */
  room: number;
}

const defaultRoomBytes = 64 * 1024 * 1024;
const gatherMs = 200;
const batchBytes = 1024 * 1024;
const batchRows = 100;

export class ContentWriter {
  readonly #options: WriterOptions;
  readonly #waiting: WaitingContent[] = [];
  #room: number;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isFailing = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#room = options.roomBytes ?? defaultRoomBytes;
  }

  takeRoom(bytes: number): boolean {
    if (bytes > this.#room) return false;
    this.#room -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#room += bytes;
  }

  add(content: WaitingContent): void {
    this.#waiting.push(content);
    this.#timer ??= setTimeout(() => void this.flush(), gatherMs).unref();
  }

  /** Resolves when everything that waits by now is written, or given up. Never rejects. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#writeAll());
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = takeBatch(this.#waiting);
      try {
        await this.#write(batch);
      } finally {
        for (const { room } of batch) this.giveBack(room);
      }
    }
  }

  async #write(batch: readonly WaitingContent[]): Promise<void> {
    const { db, sealKey, logger, count } = this.#options;
    try {
      const rows: NewContent[] = [];
      for (const one of batch) {
        rows.push(await rowOf(one, sealKey));
        await nextTurn();
      }
      const kept = await insertContents(db, rows);
      count("kept", kept);
      count("refused", rows.length - kept);
      this.#isFailing = false;
    } catch (error) {
      count("failed", batch.length);
      if (!this.#isFailing) logger.warn({ err: error }, "contents of calls could not be kept, and are let go of");
      this.#isFailing = true;
    }
  }
}

/** Takes the oldest out. */
function takeBatch(waiting: WaitingContent[]): WaitingContent[] {
  let bytes = 0;
  const end = waiting.findIndex(({ room }, index) => index > 0 && (index === batchRows || (bytes += room) > batchBytes));
  return waiting.splice(0, end === -1 ? waiting.length : end);
}

async function rowOf({ requestId, organizationId, maxBytes, content }: WaitingContent, sealKey: Buffer): Promise<NewContent> {
  const place = { organizationId, requestId };
  const prompt = await textOf(content.prompt, maxBytes);
  const answer = await textOf(content.answer, maxBytes);
  return {
    request_id: uuidOf("request", requestId) ?? "",
    organization_id: uuidOf("organization", organizationId) ?? "",
    prompt: prompt && sealText(sealKey, { ...place, part: "prompt" }, prompt.text),
    answer: answer && sealText(sealKey, { ...place, part: "answer" }, answer.text),
    prompt_bytes: BigInt(content.prompt?.bytes ?? 0),
    answer_bytes: BigInt(content.answer?.bytes ?? 0),
    prompt_cut: prompt?.isCut ?? false,
    answer_cut: answer?.isCut ?? false,
    streamed: content.streamed,
  };
}

/** Masked before it is cut: half a secret would not be known as one. */
async function textOf(recorded: RecordedText | undefined, maxBytes: number): Promise<{ text: Buffer; isCut: boolean } | null> {
  if (!recorded) return null;
  const isBeginning = recorded.bytes > recorded.text.length;
  // What ends within a character goes without it.
  const read = new TextDecoder("utf-8", { ignoreBOM: true }).decode(recorded.text, { stream: isBeginning });
  const masked = Buffer.from(await maskSecrets(read));
  const text = masked.subarray(0, endOfText(masked, maxBytes));
  return { text, isCut: isBeginning || text.length < masked.length };
}

/** Where a text of at most so many bytes ends: not within a character. */
function endOfText(text: Buffer, maxBytes: number): number {
  if (text.length <= maxBytes) return text.length;
  let end = maxBytes;
  while (end > 0 && ((text[end] ?? 0) & 0xc0) === 0x80) end--;
  return end;
}
