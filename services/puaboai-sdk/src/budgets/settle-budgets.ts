import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { lockBudgets, settleCosts } from "./budgets.store.ts";

/** Charges budgets with what calls of a process have cost, in the transaction that inserts their rows. */
export async function settleBudgets(tx: Db, processId: string, costs: ReadonlyMap<string, NanoDollars>): Promise<void> {
  if (costs.size === 0) return;
  await lockBudgets(tx, [...costs.keys()]);
  // A statement of its own: it must see what was granted before the lock was ours.
  await settleCosts(tx, processId, costs);
}
