import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";

export interface BudgetRow {
  id: string;
  organizationId: string;
  limit: NanoDollars;
  settled: NanoDollars;
  granted: NanoDollars;
  updatedAt: Date;
}

const columns = ["id", "organization_id", "limit_nanos", "settled_nanos", "granted_nanos", "created_at", "updated_at"] as const;

/** The budget of a whole organization without a reset. */
export async function findOrganizationBudget(db: Db, organizationId: string): Promise<BudgetRow | undefined> {
  const row = await organizationBudgets(db).where("organization_id", "=", organizationId).executeTakeFirst();
  return row && present(row);
}

/** Newest first, from a position on. */
export async function listOrganizationBudgets(
  db: Db,
  page: { limit: number; after: { createdAt: Date; id: string } | undefined },
): Promise<(BudgetRow & { createdAt: Date })[]> {
  let query = organizationBudgets(db).orderBy("created_at", "desc").orderBy("id", "desc").limit(page.limit);
  const { after } = page;
  if (after) query = query.where(sql<boolean>`(created_at, id) < (${after.createdAt}, ${after.id}::uuid)`);
  return (await query.execute()).map((row) => ({ ...present(row), createdAt: row.created_at }));
}

function organizationBudgets(db: Db) {
  return db
    .selectFrom("budgets")
    .select(columns)
    .where("level", "=", "organization")
    .where("subject", "=", "")
    .where("period", "=", "total");
}

/** Sets the limit, making the budget where there is none. Locks its row until the transaction ends. */
export async function upsertOrganizationBudget(
  tx: Db,
  budget: { id: string; organizationId: string; limit: NanoDollars },
): Promise<{ before: NanoDollars | undefined; after: BudgetRow }> {
  const locked = await organizationBudgets(tx)
    .where("organization_id", "=", budget.organizationId)
    .forUpdate()
    .executeTakeFirst();
  const row = await tx
    .insertInto("budgets")
    .values({ id: budget.id, organization_id: budget.organizationId, level: "organization", limit_nanos: budget.limit })
    .onConflict((conflict) =>
      conflict
        .columns(["organization_id", "level", "subject", "period"])
        .doUpdateSet({ limit_nanos: budget.limit, updated_at: sql<Date>`now()` }),
    )
    .returning(columns)
    .executeTakeFirstOrThrow();
  return { before: locked?.limit_nanos, after: present(row) };
}

/** Makes the budget unless there is one. True when it was made. */
export async function insertOrganizationBudget(
  tx: Db,
  budget: { id: string; organizationId: string; limit: NanoDollars },
): Promise<boolean> {
  const result = await tx
    .insertInto("budgets")
    .values({ id: budget.id, organization_id: budget.organizationId, level: "organization", limit_nanos: budget.limit })
    .onConflict((conflict) => conflict.columns(["organization_id", "level", "subject", "period"]).doNothing())
    .executeTakeFirst();
  return result.numInsertedOrUpdatedRows === 1n;
}

/**
 * Sets `amount` aside for a call of this process: one statement that keeps `settled + granted ≤ limit` whatever runs beside it.
 * @returns the id of the budget, or `undefined` when it does not allow that much
 */
export async function reserve(
  db: Db,
  call: { processId: string; organizationId: string; amount: NanoDollars },
): Promise<string | undefined> {
  const result = await sql<{ id: string }>`
    WITH taken AS (
      UPDATE budgets SET granted_nanos = granted_nanos + ${call.amount}, updated_at = now()
      WHERE organization_id = ${call.organizationId} AND level = 'organization' AND subject = '' AND period = 'total'
        AND settled_nanos + granted_nanos + ${call.amount} <= limit_nanos
      RETURNING id
    ), noted AS (
      INSERT INTO budget_grants (process_id, budget_id, granted_nanos) SELECT ${call.processId}, id, ${call.amount} FROM taken
      ON CONFLICT (process_id, budget_id) DO UPDATE SET granted_nanos = budget_grants.granted_nanos + excluded.granted_nanos
    )
    SELECT id FROM taken`.execute(db);
  return result.rows[0]?.id;
}

/** Gives back everything that a process has set aside and that no row of it has settled. Call it when it has no call left. */
export async function releaseGrants(tx: Db, processId: string): Promise<void> {
  // Budgets first, as everywhere, so that no two transactions wait for each other.
  await sql`SELECT id FROM budgets WHERE id IN (SELECT budget_id FROM budget_grants WHERE process_id = ${processId})
    ORDER BY id FOR UPDATE`.execute(tx);
  await sql`
    WITH gone AS (DELETE FROM budget_grants WHERE process_id = ${processId} RETURNING budget_id, granted_nanos)
    UPDATE budgets SET granted_nanos = budgets.granted_nanos - gone.granted_nanos, updated_at = now()
    FROM gone WHERE budgets.id = gone.budget_id AND gone.granted_nanos > 0`.execute(tx);
}

function present(row: {
  id: string;
  organization_id: string;
  limit_nanos: bigint;
  settled_nanos: bigint;
  granted_nanos: bigint;
  updated_at: Date;
}): BudgetRow {
  return {
    id: row.id,
    organizationId: row.organization_id,
    limit: row.limit_nanos,
    settled: row.settled_nanos,
    granted: row.granted_nanos,
    updatedAt: row.updated_at,
  };
}
