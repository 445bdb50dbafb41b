import type { AuditWriter } from "@nexus/audit";
import type { Change } from "@nexus/change-feed";
import { type NanoDollars, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { AccountFigures } from "./account.ts";
import { recordBudgetChange } from "./budgets.store.ts";
import { freezeBudgets, lockAccounts, settleCosts } from "./grants.store.ts";

/** What finished calls cost one account. */
export interface Charge {
  cost: NanoDollars;
  /** The part of it that was set aside here; all of it but for an overrun. */
  covered: NanoDollars;
  /** A provider billed more than was set aside: the budget is frozen. */
  overran: boolean;
}

export interface Settled {
  /** The accounts as they stand now, by their ids. */
  figures: ReadonlyMap<string, AccountFigures>;
  /** Budgets that were frozen. */
  changes: readonly Change[];
}

export const nothingSettled: Settled = { figures: new Map(), changes: [] };

/** Charges accounts with what calls of a process have cost, in the transaction that inserts their rows. */
export async function settleBudgets(
  tx: Db,
  { processId, audit }: { processId: string; audit: AuditWriter },
  charges: ReadonlyMap<string, Charge>,
): Promise<Settled> {
  if (charges.size === 0) return nothingSettled;
  await lockAccounts(tx, [...charges.keys()]);
  // A statement of its own: it must see what was granted before the lock was ours.
  const accounts = await settleCosts(tx, processId, charges);
  const overrun = [...charges].filter(([, { overran }]) => overran).map(([id]) => id);
  return {
    figures: new Map(accounts.map(({ accountId, settled, granted }) => [accountId, { settled, granted }])),
    changes: overrun.length > 0 ? await freezeOverrun(tx, audit, overrun) : [],
  };
}

async function freezeOverrun(tx: Db, audit: AuditWriter, accountIds: readonly string[]): Promise<Change[]> {
  const frozen = await freezeBudgets(tx, accountIds);
  for (const { id, organizationId } of frozen) {
    await audit.write(tx, {
      action: "budget.frozen",
      outcome: "success",
      organizationId: toId("organization", organizationId),
      actor: { kind: "system", id: "overrun" },
      targets: [{ kind: "budget", id: toId("budget", id) }],
      context: {},
      details: { reason: "overrun" },
    });
  }
  const changes: Change[] = [];
  for (const { id, organizationId } of frozen) changes.push(await recordBudgetChange(tx, id, organizationId));
  return changes;
}
