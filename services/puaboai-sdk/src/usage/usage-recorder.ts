import type { AuditWriter } from "@nexus/audit";
/**
 * Brings usage rows from the calls to PostgreSQL: journal first, then a group commit. PostgreSQL may be away for as long as the
 * journal has room; then no call begins.
 */
import { Problem } from "@nexus/core";
import { type Db, isUnavailable } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import type { Settled } from "../budgets/settle-budgets.ts";
import type { Journal } from "./journal.ts";
import { settleRows } from "./settle-rows.ts";
import type { UsageRow } from "./usage-row.ts";

interface RecorderOptions {
  db: Db;
  audit: AuditWriter;
  processId: string;
  journal: Journal;
  logger: Pick<Logger, "warn" | "error">;
  /** Most bytes of the journal. */
  maxJournalBytes: number;
  /** Gets rows that PostgreSQL will never take. */
  setAside: (row: UsageRow, error: unknown) => void;
}

const longestWaitMs = 5;
const mostRows = 500;
const firstRetryMs = 100;
const longestRetryMs = 5000;

/** Owns the queue of finished rows and the timer that empties it. */
export class UsageRecorder {
  readonly #options: RecorderOptions;
  readonly #queue: UsageRow[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #retryMs = firstRetryMs;
  #closed = false;
  #onSettled: ((settled: Settled) => void) | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Tells after each commit what it did to the accounts. One listener. */
  onSettled(listener: (settled: Settled) => void): void {
    this.#onSettled = listener;
  }

  /** Finished rows that PostgreSQL has not taken yet. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Notes a call before its first byte goes upstream, which has to wait for it.
   * @throws Problem `unavailable` when the journal is full, at once, or cannot be written
   */
  begin(row: UsageRow): Promise<void> {
    if (this.#isFull()) throw full("the usage journal is full");
    return this.#options.journal.appendSoon(row).catch((cause: unknown) => {
      throw full("the usage journal cannot be written", cause);
    });
  }

  /** Notes what became of a call that was begun, before its last byte goes to the client. Never throws. */
  finish(row: UsageRow): void {
    try {
      this.#options.journal.append(row);
    } catch (error) {
      this.#tellUnwritten(row, error);
    }
    this.#enqueue(row);
  }

  /** The same in one write with what else comes in this turn of the event loop; resolves when it is noted. Never rejects. */
  async finishSoon(row: UsageRow): Promise<void> {
    try {
      await this.#options.journal.appendSoon(row);
    } catch (error) {
      this.#tellUnwritten(row, error);
    }
    // Not earlier: the journal must know the row before it hears that PostgreSQL has it.
    this.#enqueue(row);
  }

  /** Notes a call that was refused before it began. Never throws; such a row is dropped when the journal is full. */
  refuse(row: UsageRow): void {
    if (!this.#isFull()) this.finish(row);
  }

  /** Resolves when PostgreSQL has every row finished so far; rejects when it does not take them. */
  async flush(): Promise<void> {
    // A commit under way may have begun before the last row came.
    await this.#running?.catch(() => {});
    await this.#commitAll();
  }

  /** Flushes what can be flushed and stops. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.flush().catch((error: unknown) => {
      this.#options.logger.warn({ err: error, waiting: this.waiting }, "usage rows stay in the journal for the next start");
    });
  }

  /** The call is done and its answer is owed; the row still goes to PostgreSQL from memory. */
  #tellUnwritten({ requestId }: UsageRow, error: unknown): void {
    const fields = { err: error, request_id: requestId };
    this.#options.logger.error(fields, "a finished call could not be written to the usage journal");
  }

  #enqueue(row: UsageRow): void {
    this.#queue.push(row);
    // A full batch need not wait, unless PostgreSQL is away and each retry is spaced.
    if (this.#queue.length >= mostRows && !this.#running && this.#retryMs === firstRetryMs)
      void this.#commitAll().catch(() => {});
    else this.#wake(longestWaitMs);
  }

  #isFull(): boolean {
    return this.#options.journal.size >= this.#options.maxJournalBytes;
  }

  #wake(afterMs: number): void {
    if (this.#closed || this.#timer || this.#queue.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#commitAll().catch(() => {});
    }, afterMs);
  }

  /** One commit at a time: what comes meanwhile makes the next batch. */
  #commitAll(): Promise<void> {
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
      this.#wake(this.#retryMs);
    });
    return this.#running;
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, mostRows);
      try {
        await settleRows({ ...this.#options, onSettled: this.#onSettled }, batch);
      } catch (error) {
        this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
        const fields = { err: error, waiting: this.waiting, unavailable: isUnavailable(error) };
        this.#options.logger.warn(fields, "usage rows wait for PostgreSQL");
        throw error;
      }
      this.#retryMs = firstRetryMs;
      this.#queue.splice(0, batch.length);
      for (const row of batch) this.#options.journal.settled(row);
    }
  }
}

function full(detail: string, cause?: unknown): Problem {
  return new Problem("unavailable", detail, { headers: { "retry-after": "5" }, cause });
}
