/** What a budget is, and for which calls it pays. */
import type { NanoDollars } from "@nexus/core";
import type { Tables } from "@nexus/db";

export type BudgetLevel = Tables["budgets"]["level"];
export type BudgetPeriod = "total" | "day" | "week" | "month";

export interface Budget {
  /** uuid */
  readonly id: string;
  readonly organizationId: string;
  readonly level: BudgetLevel;
  /** Whose it is: the uuid of a user or key, a model, a tag, the name of a pool; `*`: one for each of them. */
  readonly subject: string;
  readonly period: BudgetPeriod;
  readonly limit: NanoDollars;
  readonly enforcement: "hard" | "soft";
  /** Since when it pays for nothing, because a provider billed more than was set aside. */
  readonly frozenAt: Date | null;
}

/** Who pays, as the budgets see it; ids are uuids. */
export interface Payer {
  readonly organizationId: string;
  readonly userId: string | null;
  readonly keyId: string | null;
  readonly tags: readonly string[];
  /** Budgets that the key is charged to besides those of its place. */
  readonly budgetIds: readonly string[];
  /** The agent session that the call belongs to, as its client names it. */
  readonly session: string | null;
}

/** One budget for each of them. */
export const each = "*";

/** The subjects of a call, for which a budget of each level may be. */
const subjectsOf: Record<BudgetLevel, (payer: Payer, model: string) => readonly string[]> = {
  organization: () => [""],
  credit: () => [""],
  user: ({ userId }) => (userId === null ? [] : [userId]),
  key: ({ keyId }) => (keyId === null ? [] : [keyId]),
  model: (_, model) => [model],
  tag: ({ tags }) => tags,
  session: ({ session }) => (session === null ? [] : [session]),
  // Whoever names it.
  pool: () => [],
};

/** For which subjects of the call a budget pays: none, or one, or with `*` as many as the call has. */
export function chargedSubjects(budget: Budget, payer: Payer, model: string): readonly string[] {
  if (payer.budgetIds.includes(budget.id)) return [""];
  const subjects = subjectsOf[budget.level](payer, model);
  if (budget.subject === each) return subjects;
  return subjects.includes(budget.subject) ? [""] : [];
}

/** A call that costs money needs one of these: they say that the organization may spend at all. */
export function allowsSpending({ level }: Budget): boolean {
  return level === "organization" || level === "credit";
}
