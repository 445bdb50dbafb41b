import { type NanoDollars, Problem, toId } from "@nexus/core";
import type { Account } from "./account.ts";
import { subjectText } from "./present-budget.ts";

/**
 * 402 with what a program needs to know: level, limit, settled, granted, needed, and when there is money again. Every one of its
 * members is always there, so that nobody has to ask which.
 */
export function refuseSpending(
  needed: NanoDollars,
  account: Pick<Account, "budget" | "figures" | "subject" | "resetsAt"> | undefined,
  /** What the budgets that were asked still have for such a call, each of them. */
  available: NanoDollars = 0n,
): Problem {
  if (!account) {
    return new Problem("budget_exceeded", "The organization has no budget. An administrator can set one.", {
      extensions: { ...nothingToSpend(needed), level: "organization", period: "total" },
    });
  }
  const { budget, figures, subject, resetsAt } = account;
  const detail = budget.frozenAt
    ? "A budget is frozen, because a provider billed more than was set aside. An administrator can release it."
    : `What is left of the ${names[budget.level]} budget does not cover what this call may cost.`;
  return new Problem("budget_exceeded", detail, {
    extensions: {
      budget_id: toId("budget", budget.id),
      level: budget.level,
      subject: subjectText(budget.level, subject || budget.subject),
      period: budget.period,
      limit_nanos: budget.limit.toString(),
      settled_nanos: figures.settled.toString(),
      granted_nanos: figures.granted.toString(),
      needed_nanos: needed.toString(),
      available_nanos: available.toString(),
      resets_at: resetsAt?.toISOString() ?? null,
      frozen_at: budget.frozenAt?.toISOString() ?? null,
    },
  });
}

/** There is no budget that could say more. */
function nothingToSpend(needed: NanoDollars) {
  return {
    budget_id: null,
    level: null,
    subject: null,
    period: null,
    limit_nanos: "0",
    settled_nanos: "0",
    granted_nanos: "0",
    needed_nanos: needed.toString(),
    available_nanos: "0",
    resets_at: null,
    frozen_at: null,
  };
}

const names = {
  organization: "organization's",
  user: "user's",
  key: "key's",
  model: "model's",
  tag: "tag's",
  session: "session's",
  pool: "shared",
  credit: "organization's credit",
} as const;

/** The key is charged to a budget that its organization does not have: whoever took it away did not mean "without bound". */
export function refuseUnknownBudget(uuid: string, needed: NanoDollars): Problem {
  return new Problem("budget_exceeded", "The key names a budget in its budget_ids that is not there. Change them.", {
    extensions: { ...nothingToSpend(needed), budget_id: toId("budget", uuid) },
  });
}

/** Nobody has given the organization a budget, and nothing else was wrong. */
export function lacksEveryBudget(error: unknown): boolean {
  return error instanceof Problem && error.code === "budget_exceeded" && error.extensions["budget_id"] === null;
}
