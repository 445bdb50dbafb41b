import { BudgetList } from "@nexus/contracts/budgets";
import { assert, uuidOf } from "@nexus/core";
import { type App, callerOf, type Caller } from "@nexus/http";
import { payerOf } from "../calls/payer.ts";
import { each, type Payer } from "./budget.ts";
import type { BudgetRouteDeps } from "./budgets.routes.ts";
import { type BudgetRow, listBudgets } from "./budgets.store.ts";
import { presentBudget } from "./present-budget.ts";

/** More budgets than an organization should have. */
const most = 500;

export function addOwnBudgetRoutes(app: App, { db }: Pick<BudgetRouteDeps, "db">): void {
  app.route({
    method: "GET",
    url: "/v1/budgets",
    config: { permission: "scope:usage:read" },
    schema: {
      summary: "What may be spent, and is: a key sees the budgets that it is charged to, a person their organization's",
      tags: ["budgets"],
      response: { 200: BudgetList },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      assert(caller.kind !== "service", "the route lets no services in");
      const organizationId = uuidOf("organization", caller.organizationId);
      const budgets = await listBudgets(db, { organizationId, level: undefined }, { limit: most, after: undefined });
      return { data: budgets.filter((budget) => isShown(budget, caller)).map(presentBudget) };
    },
  });
}

/** Of a key: what its calls can be charged to, whatever model and session they name. */
function isShown(budget: BudgetRow, caller: Exclude<Caller, { kind: "service" }>): boolean {
  if (caller.kind === "person") return true;
  const payer = payerOf(caller, null);
  return payer.budgetIds.includes(budget.id) || (budget.level !== "pool" && mayBeOf(budget, payer));
}

function mayBeOf({ level, subject }: BudgetRow, { userId, keyId, tags }: Payer): boolean {
  if (level === "tag") return subject === each ? tags.length > 0 : tags.includes(subject);
  if (level === "user") return userId !== null && (subject === each || subject === userId);
  if (level === "key") return subject === each || subject === keyId;
  return true;
}
