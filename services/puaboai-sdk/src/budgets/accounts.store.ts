import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";

export interface AccountToOpen {
  budgetId: string;
  subject: string;
}

export interface OpenedAccount extends AccountToOpen {
  id: string;
  resetsAt: Date | null;
  /** Until the window ends, by PostgreSQL's clock; `null`: it does not. */
  msLeft: number | null;
  settled: NanoDollars;
  granted: NanoDollars;
}

/** Two who open the same window at once: one makes it, and the other sees it with its next look. */
const looks = 3;

/** Finds the accounts of the windows that are open now by PostgreSQL's clock, and makes those that are not there. */
export async function openAccounts(db: Db, asked: readonly AccountToOpen[]): Promise<OpenedAccount[]> {
  const document = JSON.stringify(asked.map(({ budgetId, subject }) => ({ budget_id: budgetId, subject })));
  for (let look = 1; ; look++) {
    const { rows } = await sql<OpenedAccount>`
      WITH spans AS (
        SELECT asked.budget_id, asked.subject,
          CASE period WHEN 'total' THEN 'epoch' ELSE date_trunc(period, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' END AS window_start,
          CASE period WHEN 'total' THEN NULL
            ELSE (date_trunc(period, now() AT TIME ZONE 'UTC') + ('1 ' || period)::interval) AT TIME ZONE 'UTC' END AS window_end
        FROM jsonb_to_recordset(${document}::jsonb) AS asked (budget_id uuid, subject text)
        JOIN budgets ON budgets.id = asked.budget_id
      ), made AS (
        INSERT INTO budget_accounts (id, budget_id, subject, window_start, window_end)
        SELECT gen_random_uuid(), budget_id, subject, window_start, window_end FROM spans ORDER BY budget_id, subject
        ON CONFLICT (budget_id, subject, window_start) DO NOTHING RETURNING *
      ), found AS (
        SELECT * FROM made UNION ALL
        SELECT a.* FROM budget_accounts a JOIN spans USING (budget_id, subject, window_start)
      )
      SELECT id, budget_id AS "budgetId", subject, window_end AS "resetsAt", settled_nanos AS settled, granted_nanos AS granted,
        (extract(epoch FROM window_end - clock_timestamp()) * 1000)::float8 AS "msLeft"
      FROM found`.execute(db);
    if (rows.length >= asked.length || look >= looks) return rows;
  }
}
