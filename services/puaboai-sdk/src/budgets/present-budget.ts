import type { Budget } from "@nexus/contracts/budgets";
import { toId } from "@nexus/core";
import { each } from "./budget.ts";
import type { BudgetRow } from "./budgets.store.ts";

/** A budget as the API shows it. */
export function presentBudget(budget: BudgetRow): Budget {
  return {
    id: toId("budget", budget.id),
    organization_id: toId("organization", budget.organizationId),
    level: budget.level,
    subject: subjectText(budget.level, budget.subject),
    period: budget.period,
    enforcement: budget.enforcement,
    limit_nanos: budget.limit.toString(),
    settled_nanos: budget.settled.toString(),
    granted_nanos: budget.granted.toString(),
    available_nanos: availableOf(budget).toString(),
    alert_percents: [...budget.alertPercents],
    resets_at: budget.resetsAt?.toISOString() ?? null,
    frozen_at: budget.frozenAt?.toISOString() ?? null,
    updated_at: budget.updatedAt.toISOString(),
  };
}

/** What no call has spent and no process holds: a limit may have been lowered below that. */
function availableOf({ limit, settled, granted, frozenAt }: BudgetRow): bigint {
  const left = frozenAt === null ? limit - settled - granted : 0n;
  return left > 0n ? left : 0n;
}

/** A stored subject as the API writes it; `null`: it has none. */
export function subjectText(level: BudgetRow["level"], subject: string): string | null {
  if (subject === "") return null;
  if (subject === each) return each;
  if (level === "user" || level === "key") return toId(level, subject);
  return subject;
}
