import type { AuditWriter } from "@nexus/audit";
import { type Clock, newUuid, type NanoDollars, Problem, type RequestId, toId } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import { type BudgetRow, findOrganizationBudget, insertOrganizationBudget, reserve } from "./budgets.store.ts";

interface ReserveDeps {
  db: Db;
  audit: AuditWriter;
  clock: Clock;
  processId: string;
  /** What an organization may spend that nobody has given a budget; `undefined`: nothing. */
  defaultBudget: NanoDollars | undefined;
}

interface Reservation {
  /** uuid */
  organizationId: string;
  amount: NanoDollars;
  requestId: RequestId;
}

/**
 * Sets money aside for a call and names the budget it comes from.
 * @throws Problem `budget_exceeded` with level, limit, settled, granted and needed
 */
export async function reserveBudget(deps: ReserveDeps, wanted: Reservation): Promise<string> {
  const call = { processId: deps.processId, organizationId: wanted.organizationId, amount: wanted.amount };
  let budget: BudgetRow | undefined;
  // A second try, because another call may just have made the default budget, or given money back.
  for (let attempt = 0; attempt < 2; attempt++) {
    const budgetId = await reserve(deps.db, call);
    if (budgetId !== undefined) return budgetId;
    budget = await findOrganizationBudget(deps.db, wanted.organizationId);
    if (budget && budget.settled + budget.granted + wanted.amount > budget.limit) break;
    if (budget) continue;
    if (deps.defaultBudget === undefined) break;
    await makeDefaultBudget(deps, wanted, deps.defaultBudget);
  }
  throw refusal(wanted.amount, budget);
}

async function makeDefaultBudget(deps: ReserveDeps, wanted: Reservation, limit: NanoDollars): Promise<void> {
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

function refusal(needed: NanoDollars, budget: BudgetRow | undefined): Problem {
  const detail = budget
    ? "What is left of the organization's budget does not cover what this call may cost."
    : "The organization has no budget. An administrator can set one.";
  return new Problem("budget_exceeded", detail, {
    extensions: {
      level: "organization",
      period: "total",
      limit_nanos: (budget?.limit ?? 0n).toString(),
      settled_nanos: (budget?.settled ?? 0n).toString(),
      granted_nanos: (budget?.granted ?? 0n).toString(),
      needed_nanos: needed.toString(),
    },
  });
}
