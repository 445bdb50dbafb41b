import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";
import type { BudgetLevel, BudgetPeriod } from "./budget.ts";

/** A share of a limit that was reached and that nobody has taken yet. */
export interface OpenAlert {
  accountId: string;
  percent: number;
  budgetId: string;
  organizationId: string;
  level: BudgetLevel;
  /** Of the budget, or of the account where the budget is for each of them. */
  subject: string;
  period: BudgetPeriod;
  enforcement: "hard" | "soft";
  limit: NanoDollars;
  settled: NanoDollars;
  resetsAt: Date | null;
  reachedAt: Date;
  /** This one included. */
  attempts: number;
}

/**
 * Takes some alerts on for an attempt; whoever dies in the middle leaves them to the next one, a while later. Each attempt is
 * twice as far from the next as the one before, at most an hour.
 */
export async function takeAlerts(db: Db, { limit, mostAttempts }: { limit: number; mostAttempts: number }): Promise<OpenAlert[]> {
  const { rows } = await sql<OpenAlert>`
    WITH due AS (
      SELECT account_id, percent FROM budget_alerts
      WHERE delivered_at IS NULL AND next_attempt_at <= now() AND attempts < ${mostAttempts}
      ORDER BY reached_at LIMIT ${limit} FOR UPDATE SKIP LOCKED
    ), taken AS (
      UPDATE budget_alerts SET attempts = attempts + 1,
        next_attempt_at = now() + LEAST(interval '15 seconds' * (2 ^ LEAST(attempts, 10)), interval '1 hour')
      FROM due WHERE budget_alerts.account_id = due.account_id AND budget_alerts.percent = due.percent RETURNING budget_alerts.*
    )
    SELECT taken.account_id AS "accountId", taken.percent, budgets.id AS "budgetId", organization_id AS "organizationId", level,
      coalesce(nullif(budget_accounts.subject, ''), budgets.subject) AS subject, period, enforcement, taken.limit_nanos AS "limit",
      taken.settled_nanos AS settled, window_end AS "resetsAt", taken.reached_at AS "reachedAt", taken.attempts
    FROM taken JOIN budget_accounts ON budget_accounts.id = taken.account_id JOIN budgets ON budgets.id = budget_accounts.budget_id
    ORDER BY taken.reached_at`.execute(db);
  return rows;
}

export async function markDelivered(db: Db, { accountId, percent }: Pick<OpenAlert, "accountId" | "percent">): Promise<void> {
  await db
    .updateTable("budget_alerts")
    .set({ delivered_at: sql<Date>`now()` })
    .where("account_id", "=", accountId)
    .where("percent", "=", percent)
    .execute();
}
