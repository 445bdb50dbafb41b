/** The way of usage rows out of this process: its place in the spool, its journal, its recorder, and the care for dead neighbours. */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AuditWriter } from "@nexus/audit";
import { newUuid } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { releaseBudgets } from "../budgets/release-budgets.ts";
import { Journal } from "./journal.ts";
import { replayJournals } from "./replay-journals.ts";
import { dropOldMinutes } from "./rollups.store.ts";
import { ownSpool } from "./spool-owner.ts";
import { UsageRecorder } from "./usage-recorder.ts";
import { keyOf, type UsageRow, writeRow } from "./usage-row.ts";
import { ensureMonthPartitions } from "./usage.store.ts";

export interface Usage {
  /** Names this process in the spool and in `budget_grants`. */
  processId: string;
  recorder: UsageRecorder;
  /** Rejects when the journal cannot be written. */
  probeSpool(): Promise<void>;
  /** Brings in what can be brought in, gives back what is set aside, and leaves the spool. */
  close(): Promise<void>;
}

interface UsageOptions {
  db: Db;
  audit: AuditWriter;
  logger: Logger;
  directory: string;
  maxJournalBytes: number;
}

/** How soon after its death what a neighbour had set aside is free again: a look is a connection to each socket in the spool. */
const neighbourCareMs = 5000;
const partitionCareMs = 6 * 3_600_000;

/** Replays the journals of dead processes first; without PostgreSQL that waits, and the service starts all the same. */
export async function openUsage(options: UsageOptions): Promise<Usage> {
  const { db, audit, logger, directory } = options;
  const processId = newUuid();
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const owner = await ownSpool(directory, processId);
  const journal = new Journal({ directory, processId });
  const setAside = asideWriter(directory, logger);
  const recorder = new UsageRecorder({
    db,
    audit,
    processId,
    journal,
    logger,
    maxJournalBytes: options.maxJournalBytes,
    setAside,
  });
  const care = every(neighbourCareMs, () => replayJournals({ db, audit, directory, processId, logger, setAside }), logger);
  const partitions = every(partitionCareMs, () => keepTables(db), logger);
  await Promise.all([care.once(), partitions.once()]);
  return {
    processId,
    recorder,
    probeSpool: () => probeSpool(directory, processId, journal.fault),
    async close() {
      await Promise.all([care.stop(), partitions.stop()]);
      await recorder.close();
      // What a call that is still in the journal holds is for the replay to settle.
      if (recorder.waiting === 0 && journal.size === 0) {
        await releaseBudgets(db, processId).catch((error: unknown) => {
          logger.warn({ err: error }, "what this process had set aside stays so until its spool is replayed");
        });
      }
      journal.close();
      await owner.close();
    },
  };
}

/** Of the rollups, minutes are for looking at what happens now; hours stay. */
const minutesKeptDays = 8;

async function keepTables(db: Db): Promise<void> {
  await ensureMonthPartitions(db);
  await dropOldMinutes(db, { keptDays: minutesKeptDays });
}

/** Rows that PostgreSQL will never take are kept for a person to look at. */
function asideWriter(directory: string, logger: Logger): (row: UsageRow, error: unknown) => void {
  return (row, error) => {
    logger.error({ err: error, call: keyOf(row) }, "PostgreSQL refuses a usage row; it is kept in refused-usage.jsonl");
    try {
      appendFileSync(join(directory, "refused-usage.jsonl"), `${writeRow(row)}\n`, { mode: 0o600 });
    } catch (cause) {
      logger.error({ err: cause, row: writeRow(row) }, "and cannot be kept there either");
    }
  };
}

async function probeSpool(directory: string, processId: string, fault: Error | undefined): Promise<void> {
  if (fault) throw fault;
  const path = join(directory, `${processId}.probe`);
  writeFileSync(path, "ok", { mode: 0o600 });
  rmSync(path);
}

/** Repeats a task that may fail while PostgreSQL is away; never two at once. */
function every(intervalMs: number, task: () => Promise<unknown>, logger: Logger) {
  let running: Promise<void> | undefined;
  const once = (): Promise<void> => {
    running ??= task()
      .then(
        () => {},
        (error: unknown) => logger.warn({ err: error }, "upkeep of the usage tables waits for PostgreSQL"),
      )
      .finally(() => {
        running = undefined;
      });
    return running;
  };
  const timer = setInterval(() => void once(), intervalMs);
  timer.unref();
  return {
    once,
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
