import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** The accounts of a budget, the latest used first, from a position on. */
export async function listAccounts(
  db: Db,
  budgetId: string,
  page: { limit: number; after: { createdAt: Date; id: string } | undefined },
) {
  let query = db
    .selectFrom("budget_accounts")
    .selectAll()
    .where("budget_id", "=", budgetId)
    .orderBy("updated_at", "desc")
    .orderBy("id", "desc")
    .limit(page.limit);
  const { after } = page;
  if (after) query = query.where(sql<boolean>`(updated_at, id) < (${after.createdAt}, ${after.id}::uuid)`);
  return await query.execute();
}
