import type { Change } from "@nexus/change-feed";
import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";
import type { Budget, BudgetLevel, BudgetPeriod } from "./budget.ts";

/** A budget as administrators see it: its own figures are those of the window that is open now. */
export interface BudgetRow extends Budget {
  alertPercents: readonly number[];
  settled: NanoDollars;
  granted: NanoDollars;
  resetsAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
}

export interface NewBudget {
  id: string;
  organizationId: string;
  level: BudgetLevel;
  subject: string;
  period: BudgetPeriod;
  limit: NanoDollars;
  enforcement: "hard" | "soft";
  alertPercents?: readonly number[] | undefined;
}

/** The first window of a budget without a reset begins here. */
const windowStart = sql<Date>`CASE period WHEN 'total' THEN 'epoch'
  ELSE date_trunc(period, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' END`;
const windowEnd = sql<Date | null>`CASE period WHEN 'total' THEN NULL
  ELSE (date_trunc(period, now() AT TIME ZONE 'UTC') + ('1 ' || period)::interval) AT TIME ZONE 'UTC' END`;

/** What pays for an organization's calls, hard budgets first and the widest before the others. */
export async function findBudgets(db: Db, organizationId: string): Promise<Budget[]> {
  const rows = await db
    .selectFrom("budgets")
    .selectAll()
    .where("organization_id", "=", organizationId)
    .where("deleted_at", "is", null)
    .orderBy(sql`enforcement = 'soft'`)
    .orderBy(sql`level <> 'organization'`)
    .orderBy("id")
    .execute();
  return rows.map((row) => ({
    id: row.id,
    organizationId: row.organization_id,
    level: row.level,
    subject: row.subject,
    period: row.period,
    limit: row.limit_nanos,
    enforcement: row.enforcement,
    frozenAt: row.frozen_at,
  }));
}

function budgetRows(db: Db) {
  return db
    .selectFrom("budgets")
    .leftJoin("budget_accounts", (join) =>
      join
        .onRef("budget_accounts.budget_id", "=", "budgets.id")
        .on("budget_accounts.subject", "=", "")
        .on("budget_accounts.window_start", "=", windowStart),
    )
    .where("budgets.deleted_at", "is", null)
    .selectAll("budgets")
    .select(["budget_accounts.settled_nanos", "budget_accounts.granted_nanos", windowEnd.as("resets_at")]);
}
type StoredBudget = Awaited<ReturnType<ReturnType<typeof budgetRows>["executeTakeFirstOrThrow"]>>;

export async function findBudget(db: Db, id: string): Promise<BudgetRow | undefined> {
  const row = await budgetRows(db).where("budgets.id", "=", id).executeTakeFirst();
  return row && present(row);
}

/** The budget of a whole organization without a reset. */
export async function findOrganizationBudget(db: Db, organizationId: string): Promise<BudgetRow | undefined> {
  return await findBudgetOf(db, { organizationId, level: "organization", subject: "", period: "total" });
}

export async function findBudgetOf(
  db: Db,
  of: Pick<NewBudget, "organizationId" | "level" | "subject" | "period">,
): Promise<BudgetRow | undefined> {
  const row = await budgetRows(db)
    .where("organization_id", "=", of.organizationId)
    .where("level", "=", of.level)
    .where("budgets.subject", "=", of.subject)
    .where("period", "=", of.period)
    .executeTakeFirst();
  return row && present(row);
}

export interface BudgetFilter {
  organizationId: string | undefined;
  level: BudgetLevel | undefined;
}

/** Newest first, from a position on. */
export async function listBudgets(
  db: Db,
  { organizationId, level }: BudgetFilter,
  page: { limit: number; after: { createdAt: Date; id: string } | undefined },
): Promise<BudgetRow[]> {
  let query = budgetRows(db).orderBy("budgets.created_at", "desc").orderBy("budgets.id", "desc").limit(page.limit);
  if (organizationId !== undefined) query = query.where("organization_id", "=", organizationId);
  if (level !== undefined) query = query.where("level", "=", level);
  const { after } = page;
  if (after) query = query.where(sql<boolean>`(budgets.created_at, budgets.id) < (${after.createdAt}, ${after.id}::uuid)`);
  return (await query.execute()).map(present);
}

/** Locks a budget until the transaction ends. False when it is not there. */
export async function lockBudget(tx: Db, id: string): Promise<boolean> {
  const query = tx.selectFrom("budgets").select("id").where("id", "=", id).where("deleted_at", "is", null);
  return (await query.forUpdate().executeTakeFirst()) !== undefined;
}

/** Makes the budget unless there is one for this subject and period. True when it was made. */
export async function insertBudget(tx: Db, budget: NewBudget): Promise<boolean> {
  const result = await tx
    .insertInto("budgets")
    .values({
      id: budget.id,
      organization_id: budget.organizationId,
      level: budget.level,
      subject: budget.subject,
      period: budget.period,
      limit_nanos: budget.limit,
      enforcement: budget.enforcement,
      ...(budget.alertPercents && { alert_percents: [...budget.alertPercents] }),
    })
    .onConflict((conflict) =>
      conflict.columns(["organization_id", "level", "subject", "period"]).where("deleted_at", "is", null).doNothing(),
    )
    .executeTakeFirst();
  return result.numInsertedOrUpdatedRows === 1n;
}

interface BudgetChange {
  limit?: NanoDollars | undefined;
  enforcement?: "hard" | "soft" | undefined;
  alertPercents?: readonly number[] | undefined;
  frozenAt?: null;
  isDeleted?: true;
}

/** The budget must be locked. */
export async function updateBudget(tx: Db, id: string, change: BudgetChange): Promise<void> {
  await tx
    .updateTable("budgets")
    .set({
      updated_at: sql<Date>`now()`,
      ...(change.limit !== undefined && { limit_nanos: change.limit }),
      ...(change.enforcement && { enforcement: change.enforcement }),
      ...(change.alertPercents && { alert_percents: [...change.alertPercents] }),
      ...(change.frozenAt === null && { frozen_at: null }),
      ...(change.isDeleted && { deleted_at: sql<Date>`now()` }),
    })
    .where("id", "=", id)
    .execute();
}

/** Tells every gateway process to look at the organization's budgets again. The last statement of its transaction. */
export async function recordBudgetChange(tx: Db, id: string, organizationId: string): Promise<Change> {
  const { rows } = await sql<{ rev: bigint }>`
    SELECT record_gateway_change('budget', ${id}::uuid, ${organizationId}::uuid) AS rev`.execute(tx);
  return { rev: Number(rows[0]?.rev), kind: "budget", subjectId: id, organizationId };
}

function present(row: StoredBudget): BudgetRow {
  return {
    id: row.id,
    organizationId: row.organization_id,
    level: row.level,
    subject: row.subject,
    period: row.period,
    limit: row.limit_nanos,
    enforcement: row.enforcement,
    alertPercents: row.alert_percents,
    frozenAt: row.frozen_at,
    settled: row.settled_nanos ?? 0n,
    granted: row.granted_nanos ?? 0n,
    resetsAt: row.resets_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
