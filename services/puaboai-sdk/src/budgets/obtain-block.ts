import type { AuditWriter } from "@nexus/audit";
import { type Clock, newUuid, type NanoDollars, type RequestId, toId } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import { type BudgetRow, findOrganizationBudget, grantBlock, insertOrganizationBudget } from "./budgets.store.ts";
import { refuseSpending } from "./refuse-spending.ts";

export interface BlockDeps {
  db: Db;
  audit: AuditWriter;
  clock: Clock;
  processId: string;
  /** What an organization may spend that nobody has given a budget; `undefined`: nothing. */
  defaultBudget: NanoDollars | undefined;
}

export interface WantedBlock {
  /** uuid */
  organizationId: string;
  /** Less would not do. */
  needed: NanoDollars;
  /** More would not be used soon. */
  wish: NanoDollars;
  /** What the whole call needs, for the refusal. */
  callAmount: NanoDollars;
  requestId: RequestId;
}

/**
 * Gets a block of an organization's budget for this process.
 * @throws Problem `budget_exceeded` with level, limit, settled, granted and needed
 */
export async function obtainBlock(deps: BlockDeps, wanted: WantedBlock): Promise<{ budgetId: string; granted: NanoDollars }> {
  const block = { processId: deps.processId, organizationId: wanted.organizationId, needed: wanted.needed, wish: wanted.wish };
  let budget: BudgetRow | undefined;
  // A second try, because another call may just have made the default budget, or given money back.
  for (let attempt = 0; attempt < 2; attempt++) {
    const granted = await grantBlock(deps.db, block);
    if (granted) return granted;
    budget = await findOrganizationBudget(deps.db, wanted.organizationId);
    if (budget && budget.settled + budget.granted + wanted.needed > budget.limit) break;
    if (budget) continue;
    if (deps.defaultBudget === undefined) break;
    await makeDefaultBudget(deps, wanted, deps.defaultBudget);
  }
  throw refuseSpending(wanted.callAmount, budget);
}

async function makeDefaultBudget(deps: BlockDeps, wanted: WantedBlock, limit: NanoDollars): Promise<void> {
  await inTransaction(deps.db, async (tx) => {
    const id = newUuid(deps.clock.now());
    if (!(await insertOrganizationBudget(tx, { id, organizationId: wanted.organizationId, limit }))) return;
    await deps.audit.write(tx, {
      action: "budget.created",
      outcome: "success",
      organizationId: toId("organization", wanted.organizationId),
      actor: { kind: "system", id: "default-budget" },
      targets: [{ kind: "budget", id: toId("budget", id) }],
      context: { request_id: wanted.requestId },
      details: { level: "organization", period: "total", limit_nanos: limit.toString() },
    });
  });
}
