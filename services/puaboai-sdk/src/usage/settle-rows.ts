import type { AuditWriter } from "@nexus/audit";
import { type Db, inTransaction, isUnavailable } from "@nexus/db";
import { nothingSettled, settleBudgets, type Settled } from "../budgets/settle-budgets.ts";
import type { UsageRow } from "./usage-row.ts";
import { ensureUsagePartition, insertUsage } from "./usage.store.ts";

interface SettleOptions {
  db: Db;
  audit: AuditWriter;
  /** The process whose grants paid for the rows. */
  processId: string;
  setAside: (row: UsageRow, error: unknown) => void;
  /** Told after each commit that moved money. */
  onSettled?: ((settled: Settled) => void) | undefined;
}

/** "no partition of relation found for row"; also any other violated check, which one row at a time will tell. */
const checkViolation = "23514";
/** Serialization failure and deadlock: others came first, and the row may come again. */
const beaten: ReadonlySet<unknown> = new Set(["40001", "40P01"]);

/**
 * Brings rows to PostgreSQL, each once however often it comes. A row that it will never take must not keep the others waiting:
 * after a refusal they go one by one, and what is still refused is set aside.
 * @throws when PostgreSQL is away; nothing is lost then, the same rows may come again
 */
export async function settleRows(options: SettleOptions, rows: readonly UsageRow[]): Promise<void> {
  if (rows.length === 0) return;
  try {
    await insertAndSettle(options, rows);
  } catch (error) {
    if (isUnavailable(error)) throw error;
    for (const row of rows) await settleOne(options, row);
  }
}

async function settleOne(options: SettleOptions, row: UsageRow): Promise<void> {
  try {
    await insertAndSettle(options, [row]);
  } catch (error) {
    if (mayComeAgain(error)) throw error;
    try {
      if (codeOf(error) !== checkViolation || !(await ensureUsagePartition(options.db, row.occurredAt))) throw error;
      await insertAndSettle(options, [row]);
    } catch (second) {
      if (mayComeAgain(second)) throw second;
      options.setAside(row, second);
    }
  }
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;

function mayComeAgain(error: unknown): boolean {
  return isUnavailable(error) || beaten.has(codeOf(error));
}

/** Rows and money move together, and only with a row that was not there yet. */
async function insertAndSettle(options: SettleOptions, rows: readonly UsageRow[]): Promise<void> {
  const { db, onSettled } = options;
  // Rows without money are one statement, which is a transaction by itself.
  if (rows.every(({ accountIds }) => accountIds.length === 0)) {
    await insertUsage(db, rows);
    return;
  }
  const settled = await inTransaction(db, async (tx) => await settleBudgets(tx, options, await insertUsage(tx, rows)));
  if (settled !== nothingSettled) onSettled?.(settled);
}
