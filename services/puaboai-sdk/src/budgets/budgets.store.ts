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
 * Grants a process a block of its organization's budget, at least `needed` and at most `wish`: one statement that keeps
 * `settled + granted ≤ limit` whatever runs beside it. No more than a sixteenth of what is left, unless the call needs it, so that
 * several processes do not hold the rest from one another.
 * @returns the budget and the size of the block, or `undefined` when the budget does not allow what is needed
 */
export async function grantBlock(
  db: Db,
  block: { processId: string; organizationId: string; needed: NanoDollars; wish: NanoDollars },
): Promise<{ budgetId: string; granted: NanoDollars } | undefined> {
  const result = await sql<{ id: string; granted: bigint }>`
    WITH open AS (
      SELECT id, limit_nanos - settled_nanos - granted_nanos AS left_nanos FROM budgets
      WHERE organization_id = ${block.organizationId} AND level = 'organization' AND subject = '' AND period = 'total' FOR UPDATE
    ), taken AS (
      UPDATE budgets SET granted_nanos = granted_nanos
        + LEAST(GREATEST(${block.needed}::bigint, open.left_nanos / 16), ${block.wish}::bigint), updated_at = now()
      FROM open WHERE budgets.id = open.id AND open.left_nanos >= ${block.needed}::bigint
      RETURNING budgets.id, LEAST(GREATEST(${block.needed}::bigint, open.left_nanos / 16), ${block.wish}::bigint) AS granted
    ), noted AS (
      INSERT INTO budget_grants (process_id, budget_id, granted_nanos) SELECT ${block.processId}, id, granted FROM taken
      ON CONFLICT (process_id, budget_id) DO UPDATE SET granted_nanos = budget_grants.granted_nanos + excluded.granted_nanos
    )
    SELECT id, granted FROM taken`.execute(db);
  const row = result.rows[0];
  return row && { budgetId: row.id, granted: row.granted };
}

/** Gives back a part of what a process holds of one budget. */
export async function giveBack(db: Db, part: { processId: string; budgetId: string; amount: NanoDollars }): Promise<void> {
  await sql`
    WITH open AS (SELECT id FROM budgets WHERE id = ${part.budgetId} FOR UPDATE), held AS (
      UPDATE budget_grants SET granted_nanos = granted_nanos - ${part.amount}
      FROM open WHERE budget_id = open.id AND process_id = ${part.processId} RETURNING budget_id
    )
    UPDATE budgets SET granted_nanos = granted_nanos - ${part.amount}, updated_at = now() FROM held WHERE budgets.id = held.budget_id
  `.execute(db);
}

/** Locks the budgets, always in the order of their ids, so that no two transactions wait for each other. */
export async function lockBudgets(tx: Db, budgetIds: readonly string[]): Promise<void> {
  await sql`SELECT id FROM budgets WHERE id = ANY(${budgetIds}::uuid[]) ORDER BY id FOR UPDATE`.execute(tx);
}

/**
 * Turns what calls of a process have cost from granted into settled. What a call cost beyond its process's grant is settled all the
 * same: an overrun. The budgets must be locked.
 */
export async function settleCosts(tx: Db, processId: string, costs: ReadonlyMap<string, NanoDollars>): Promise<void> {
  const document = JSON.stringify([...costs].map(([budgetId, cost]) => ({ budget_id: budgetId, cost: cost.toString() })));
  await sql`
    WITH sums AS (SELECT * FROM jsonb_to_recordset(${document}::jsonb) AS r(budget_id uuid, cost bigint)), held AS (
      SELECT sums.budget_id, sums.cost, LEAST(sums.cost, coalesce(budget_grants.granted_nanos, 0)) AS taken
      FROM sums LEFT JOIN budget_grants ON budget_grants.budget_id = sums.budget_id AND budget_grants.process_id = ${processId}
    ), used AS (
      UPDATE budget_grants SET granted_nanos = granted_nanos - held.taken
      FROM held WHERE budget_grants.budget_id = held.budget_id AND process_id = ${processId}
    )
    UPDATE budgets SET settled_nanos = settled_nanos + held.cost, granted_nanos = granted_nanos - held.taken, updated_at = now()
    FROM held WHERE budgets.id = held.budget_id`.execute(tx);
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
