import { type NanoDollars, Problem } from "@nexus/core";
import type { BudgetRow } from "./budgets.store.ts";

/** 402 with what a program needs to know: level, limit, settled, granted and needed. */
export function refuseSpending(needed: NanoDollars, budget: BudgetRow | undefined): Problem {
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
