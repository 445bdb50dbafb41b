import { Problem, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type BudgetRow, findBudget, findOrganizationBudget } from "./budgets.store.ts";

/** The uuid of an id that a caller named. @throws Problem `not_found` when it is none of that kind */
export function rowIdOf(kind: "budget" | "organization", id: string): string {
  const uuid = uuidOf(kind, id);
  if (uuid === undefined) throw new Problem("not_found", `There is no such ${kind}.`);
  return uuid;
}

/** `bud_…`, or `org_…`: what the organization may spend in total. @throws Problem `not_found` */
export async function findShown(db: Db, id: string): Promise<BudgetRow> {
  const budget = id.startsWith("org_")
    ? await findOrganizationBudget(db, rowIdOf("organization", id))
    : await findBudget(db, rowIdOf("budget", id));
  if (!budget)
    throw new Problem(
      "not_found",
      id.startsWith("org_") ? "The organization has no budget in total." : "There is no such budget.",
    );
  return budget;
}
