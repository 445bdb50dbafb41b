import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";

export interface CreditEntryRow {
  id: string;
  budgetId: string;
  amount: NanoDollars;
  reference: string;
  note: string | null;
  createdBy: string;
  createdAt: Date;
}

function entries(db: Db) {
  return db
    .selectFrom("credit_entries")
    .select(["id", "budget_id as budgetId", "amount_nanos as amount", "reference", "note"])
    .select(["created_by as createdBy", "created_at as createdAt"]);
}

export async function findCreditEntry(db: Db, budgetId: string, reference: string): Promise<CreditEntryRow | undefined> {
  return await entries(db).where("budget_id", "=", budgetId).where("reference", "=", reference).executeTakeFirst();
}

/** Newest first, from a position on. */
export async function listCreditEntries(
  db: Db,
  organizationId: string,
  page: { limit: number; after: { createdAt: Date; id: string } | undefined },
): Promise<CreditEntryRow[]> {
  const ofOrganization = db
    .selectFrom("budgets")
    .select("id")
    .where("organization_id", "=", organizationId)
    .where("level", "=", "credit");
  let query = entries(db)
    .where("budget_id", "in", ofOrganization)
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(page.limit);
  const { after } = page;
  if (after) query = query.where(sql<boolean>`(created_at, id) < (${after.createdAt}, ${after.id}::uuid)`);
  return await query.execute();
}

export async function insertCreditEntry(tx: Db, entry: Omit<CreditEntryRow, "createdAt">): Promise<CreditEntryRow> {
  const { createdAt } = await tx
    .insertInto("credit_entries")
    .values({
      id: entry.id,
      budget_id: entry.budgetId,
      amount_nanos: entry.amount,
      reference: entry.reference,
      note: entry.note,
      created_by: entry.createdBy,
    })
    .returning("created_at as createdAt")
    .executeTakeFirstOrThrow();
  return { ...entry, createdAt };
}

/** What is spent of a budget without a reset and set aside. Locks its account until the transaction ends, so that nobody is granted more. */
export async function settledAndGranted(tx: Db, budgetId: string): Promise<NanoDollars> {
  const { rows } = await sql<{ used: bigint }>`
    SELECT settled_nanos + granted_nanos AS used FROM budget_accounts WHERE budget_id = ${budgetId} FOR UPDATE`.execute(tx);
  return rows[0]?.used ?? 0n;
}
