import type { AuditWriter } from "@nexus/audit";
import { type Clock, newUuid, type NanoDollars, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { PersonCaller, RequestContext } from "@nexus/http";
import { type BudgetRow, upsertOrganizationBudget } from "./budgets.store.ts";

interface SetBudgetDeps {
  db: Db;
  audit: AuditWriter;
  clock: Clock;
}

interface SetBudget {
  organizationId: string;
  limit: NanoDollars;
  caller: PersonCaller;
  context: RequestContext;
}

const noSuchOrganization = "23503";

/**
 * Sets what an organization may spend in total; the audit entry stands in the same transaction.
 * A limit below what is spent is allowed: it stops further calls.
 * @throws Problem `not_found` for an unknown organization
 */
export async function setBudget(deps: SetBudgetDeps, { organizationId, limit, caller, context }: SetBudget): Promise<BudgetRow> {
  const organizationUuid = uuidOf("organization", organizationId);
  if (!organizationUuid) throw new Problem("not_found");
  try {
    return await inTransaction(deps.db, async (tx) => {
      const budget = { id: newUuid(deps.clock.now()), organizationId: organizationUuid, limit };
      const { before, after } = await upsertOrganizationBudget(tx, budget);
      await deps.audit.write(tx, {
        action: before === undefined ? "budget.created" : "budget.updated",
        outcome: "success",
        organizationId: toId("organization", organizationUuid),
        actor: { kind: "person", id: caller.userId },
        targets: [{ kind: "budget", id: toId("budget", after.id) }],
        context,
        details: {
          level: "organization",
          period: "total",
          limit_nanos_before: before === undefined ? null : before.toString(),
          limit_nanos: limit.toString(),
        },
      });
      return after;
    });
  } catch (error) {
    if ((error as { code?: unknown }).code === noSuchOrganization) throw new Problem("not_found");
    throw error;
  }
}
