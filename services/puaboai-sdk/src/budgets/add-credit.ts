import { assert, newUuid, type NanoDollars, Problem, toId, uuidOf } from "@nexus/core";
import { inTransaction } from "@nexus/db";
import {
  findBudget,
  findBudgetOf,
  insertBudget,
  lockBudget,
  recordBudgetChange,
  updateBudget,
  type BudgetRow,
} from "./budgets.store.ts";
import { asProblem, type ChangedBy, type ChangeDeps } from "./change-budget.ts";
import { type CreditEntryRow, findCreditEntry, insertCreditEntry, settledAndGranted } from "./credit.store.ts";
import { mostNanos } from "./read-budget.ts";

interface AddCredit {
  organizationId: string;
  /** Below zero takes back what is left. */
  amount: NanoDollars;
  /** The same one counts once. */
  reference: string;
  note: string | undefined;
}

/**
 * Adds credit that an organization has bought, or takes it back. Sent again with the same reference and amount it does nothing and
 * answers the same.
 * @throws Problem `not_found`, `conflict` for a reference of another amount or for more than is left
 */
export async function addCredit(
  deps: ChangeDeps,
  { organizationId, amount, reference, note }: AddCredit,
  by: ChangedBy,
): Promise<{ entry: CreditEntryRow; budget: BudgetRow }> {
  const organization = uuidOf("organization", organizationId);
  if (!organization) throw new Problem("not_found", "There is no such organization.");
  const of = { organizationId: organization, level: "credit", subject: "", period: "total" } as const;
  const { change, ...answer } = await inTransaction(deps.db, async (tx) => {
    const now = deps.clock.now();
    await insertBudget(tx, { ...of, id: newUuid(now), limit: 0n, enforcement: "hard" }).catch(asProblem);
    const found = await findBudgetOf(tx, of);
    assert(found, "a credit budget is never deleted");
    await lockBudget(tx, found.id);
    const before = await findCreditEntry(tx, found.id, reference);
    if (before) {
      if (before.amount !== amount) throw new Problem("conflict", "This reference is of an entry with another amount.");
      return { entry: before, budget: found, change: undefined };
    }
    const limit = await newLimit(tx, found.id, amount);
    const row = { id: newUuid(now), budgetId: found.id, amount, reference, note: note ?? null, createdBy: by.caller.userId };
    const entry = await insertCreditEntry(tx, row);
    await updateBudget(tx, found.id, { limit });
    const budget = await findBudget(tx, found.id);
    assert(budget, "the budget is locked");
    await deps.audit.write(tx, {
      action: "budget.credited",
      outcome: "success",
      organizationId: toId("organization", organization),
      actor: { kind: "person", id: by.caller.userId },
      targets: [{ kind: "budget", id: toId("budget", found.id) }],
      context: by.context,
      details: { amount_nanos: amount.toString(), reference, limit_nanos: limit.toString() },
    });
    return { entry, budget, change: await recordBudgetChange(tx, found.id, organization) };
  });
  if (change) deps.feed.announce([change]);
  return answer;
}

/** The limit of the locked budget with the entry. @throws Problem `conflict` when more is taken back than is left */
async function newLimit(tx: ChangeDeps["db"], budgetId: string, amount: NanoDollars): Promise<NanoDollars> {
  const budget = await findBudget(tx, budgetId);
  assert(budget, "the budget is locked");
  const limit = budget.limit + amount;
  if (limit > mostNanos) throw new Problem("conflict", "No organization can hold that much credit.");
  if (amount < 0n && limit < (await settledAndGranted(tx, budgetId)))
    throw new Problem("conflict", "That is more than what is left of the credit.");
  return limit;
}
