import type { AuditWriter } from "@nexus/audit";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { releaseBudgets } from "../budgets/release-budgets.ts";
import { readJournal, removeJournal } from "./journal.ts";
import { settleRows } from "./settle-rows.ts";
import { forgetOwner, isOwnerAlive, spoolOwners } from "./spool-owner.ts";
import type { UsageRow } from "./usage-row.ts";

interface ReplayOptions {
  db: Db;
  audit: AuditWriter;
  directory: string;
  /** Our own process: its journal is not replayed while it lives. */
  processId: string;
  logger: Pick<Logger, "info">;
  setAside: (row: UsageRow, error: unknown) => void;
}

const batchRows = 500;

/**
 * Brings the journals of dead processes to PostgreSQL and gives back what they had set aside. Any number of processes may do
 * this at once and any of them may die in the middle: rows are inserted once, and grants are given back by deleting them.
 * @throws when PostgreSQL is away; the journals stay
 */
export async function replayJournals(options: ReplayOptions): Promise<{ processes: number; rows: number }> {
  const result = { processes: 0, rows: 0 };
  for (const owner of spoolOwners(options.directory)) {
    if (owner === options.processId || (await isOwnerAlive(options.directory, owner))) continue;
    const { rows, tornLines } = readJournal(options.directory, owner);
    for (let at = 0; at < rows.length; at += batchRows) {
      await settleRows({ ...options, processId: owner }, rows.slice(at, at + batchRows));
    }
    await releaseBudgets(options.db, owner);
    removeJournal(options.directory, owner);
    forgetOwner(options.directory, owner);
    options.logger.info(
      { owner, rows: rows.length, torn_lines: tornLines },
      "replayed the usage journal of a process that had ended",
    );
    result.processes++;
    result.rows += rows.length;
  }
  return result;
}
