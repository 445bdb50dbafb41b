/**
 * Brings usage rows from the calls to PostgreSQL: journal first, then a group commit. PostgreSQL may be away for as long as the
 * journal has room; then no call begins.
 */
import { Problem } from "@nexus/core";
import { type Db, isUnavailable } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import type { Journal } from "./journal.ts";
import { settleRows } from "./settle-rows.ts";
import type { UsageRow } from "./usage-row.ts";

export interface UsageRecorder {
  /** Notes a call before its first byte goes upstream. @throws Problem `unavailable` when the journal takes no more */
  begin(row: UsageRow): void;
  /** Notes what became of a call that was begun, before its last byte goes to the client. Never throws. */
  finish(row: UsageRow): void;
  /** Notes a call that was refused before it began. Never throws; such a row is dropped when the journal is full. */
  refuse(row: UsageRow): void;
  /** Resolves when PostgreSQL has every row finished so far; rejects when it does not take them. */
  flush(): Promise<void>;
  /** Finished rows that PostgreSQL has not taken yet. */
  waiting(): number;
  /** Flushes what can be flushed and stops. */
  close(): Promise<void>;
}

interface RecorderOptions {
  db: Db;
  processId: string;
  journal: Journal;
  logger: Logger;
  /** Most bytes of the journal. */
  maxJournalBytes: number;
  /** Gets rows that PostgreSQL will never take. */
  setAside(row: UsageRow, error: unknown): void;
}

const longestWaitMs = 50;
const mostRows = 500;
const firstRetryMs = 100;
const longestRetryMs = 5000;

export function openUsageRecorder(options: RecorderOptions): UsageRecorder {
  const { journal, logger } = options;
  const queue: UsageRow[] = [];
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let retryMs = firstRetryMs;
  let closed = false;

  function wake(afterMs: number): void {
    if (closed || timer || queue.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void commitAll().catch(() => {});
    }, afterMs);
  }

  /** One commit at a time: what comes meanwhile makes the next batch. */
  function commitAll(): Promise<void> {
    running ??= drain().finally(() => {
      running = undefined;
      wake(retryMs);
    });
    return running;
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.slice(0, mostRows);
      try {
        await settleRows(options, batch);
      } catch (error) {
        retryMs = Math.min(retryMs * 2, longestRetryMs);
        logger.warn({ err: error, waiting: queue.length, unavailable: isUnavailable(error) }, "usage rows wait for PostgreSQL");
        throw error;
      }
      retryMs = firstRetryMs;
      queue.splice(0, batch.length);
      for (const row of batch) journal.settled(row);
    }
  }

  function finish(row: UsageRow): void {
    try {
      journal.append(row);
    } catch (error) {
      // The call is done and its answer is owed; the row still goes to PostgreSQL from memory.
      logger.error({ err: error, request_id: row.requestId }, "a finished call could not be written to the usage journal");
    }
    queue.push(row);
    // A full batch need not wait, unless PostgreSQL is away and each retry is spaced.
    if (queue.length >= mostRows && !running && retryMs === firstRetryMs) void commitAll().catch(() => {});
    else wake(longestWaitMs);
  }

  return {
    finish,
    refuse(row) {
      if (journal.size() < options.maxJournalBytes) finish(row);
    },
    begin(row) {
      if (journal.size() >= options.maxJournalBytes) throw full("the usage journal is full");
      try {
        journal.append(row);
      } catch (cause) {
        throw full("the usage journal cannot be written", cause);
      }
    },
    async flush() {
      // A commit under way may have begun before the last row came.
      await running?.catch(() => {});
      await commitAll();
    },
    waiting: () => queue.length,
    async close() {
      closed = true;
      clearTimeout(timer);
      await running?.catch(() => {});
      await commitAll().catch((error: unknown) => {
        logger.warn({ err: error, waiting: queue.length }, "usage rows stay in the journal for the next start");
      });
    },
  };
}

function full(detail: string, cause?: unknown): Problem {
  return new Problem("unavailable", detail, { headers: { "retry-after": "5" }, cause });
}
