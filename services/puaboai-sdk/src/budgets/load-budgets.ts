import { newUuid, type NanoDollars, type RequestId, toId } from "@nexus/core";
import { inTransaction } from "@nexus/db";
import { allowsSpending, type Budget } from "./budget.ts";
import { findBudgets, insertBudget } from "./budgets.store.ts";
import type { BlockDeps } from "./obtain-blocks.ts";
import { refuseSpending } from "./refuse-spending.ts";

interface Asked {
  organizationId: string;
  requestId: RequestId;
  /** What the call may cost, for the refusal. */
  amount: NanoDollars;
}

/**
 * The budgets of an organization; one that has none gets the default.
 * @throws Problem `budget_exceeded` where nobody has given it a budget and there is no default
 */
export async function loadBudgets(deps: BlockDeps, asked: Asked): Promise<readonly Budget[]> {
  const budgets = await findBudgets(deps.db, asked.organizationId);
  if (budgets.some(allowsSpending)) return budgets;
  if (deps.defaultBudget === undefined) throw refuseSpending(asked.amount, undefined);
  await makeDefaultBudget(deps, asked, deps.defaultBudget);
  return await findBudgets(deps.db, asked.organizationId);
}

async function makeDefaultBudget(deps: BlockDeps, { organizationId, requestId }: Asked, limit: NanoDollars): Promise<void> {
  await inTransaction(deps.db, async (tx) => {
    const id = newUuid(deps.clock.now());
    const budget = { id, organizationId, level: "organization", subject: "", period: "total", limit } as const;
    // Another process may have been first.
    if (!(await insertBudget(tx, { ...budget, enforcement: "hard" }))) return;
    await deps.audit.write(tx, {
      action: "budget.created",
      outcome: "success",
      organizationId: toId("organization", organizationId),
      actor: { kind: "system", id: "default-budget" },
      targets: [{ kind: "budget", id: toId("budget", id) }],
      context: { request_id: requestId },
      details: { level: "organization", period: "total", limit_nanos: limit.toString() },
    });
  });
}
