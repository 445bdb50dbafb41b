import type { AuditWriter } from "@nexus/audit";
import { Budget, BudgetPage, BudgetParams, BudgetsQuery, SetBudgetRequest } from "@nexus/contracts/budgets";
import { type Clock, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, decodeCursor, encodeCursor } from "@nexus/db";
import { type App, personOf, requestContext } from "@nexus/http";
import type { Logger } from "@nexus/telemetry";
import { type BudgetRow, findOrganizationBudget, listOrganizationBudgets } from "./budgets.store.ts";
import type { Budgets } from "./budgets.ts";
import { setBudget } from "./set-budget.ts";

interface BudgetDeps {
  db: Db;
  audit: AuditWriter;
  clock: Clock;
  cursorSecret: Buffer;
  budgets: Pick<Budgets, "release">;
  logger: Pick<Logger, "warn">;
}

const config = { permission: "admin" } as const;
const tags = ["budgets"];
const url = "/v1/admin/budgets/:organization_id";
/** The largest int8. */
const mostNanos = 2n ** 63n - 1n;

export function addBudgetRoutes(app: App, deps: BudgetDeps): void {
  addBudgetList(app, deps);
  app.route({
    method: "GET",
    url,
    config,
    schema: { summary: "What an organization may spend", tags, params: BudgetParams, response: { 200: Budget } },
    handler: async (request) => {
      const organization = uuidOf("organization", request.params.organization_id);
      const budget = organization && (await findOrganizationBudget(deps.db, organization));
      if (!budget) throw new Problem("not_found");
      return present(budget);
    },
  });
  app.route({
    method: "PUT",
    url,
    config,
    schema: {
      summary: "Set what an organization may spend",
      tags,
      params: BudgetParams,
      body: SetBudgetRequest,
      response: { 200: Budget },
    },
    handler: async (request) => {
      const limit = BigInt(request.body.limit_nanos);
      if (limit > mostNanos) {
        throw new Problem("invalid_request", undefined, {
          errors: [{ pointer: "/limit_nanos", detail: `must be at most ${mostNanos}` }],
        });
      }
      const organizationId = request.params.organization_id;
      const budget = await setBudget(deps, {
        organizationId,
        limit,
        caller: personOf(request),
        context: requestContext(request),
      });
      // What this process holds of the old limit must not be spent under the new one.
      await deps.budgets.release(budget.organizationId).catch((error: unknown) => {
        deps.logger.warn({ err: error }, "a block of a changed budget could not be given back");
      });
      return present((await findOrganizationBudget(deps.db, budget.organizationId)) ?? budget);
    },
  });
}

function addBudgetList(app: App, deps: BudgetDeps): void {
  app.route({
    method: "GET",
    url: "/v1/admin/budgets",
    config,
    schema: {
      summary: "The budgets of all organizations, newest first",
      tags,
      querystring: BudgetsQuery,
      response: { 200: BudgetPage },
    },
    handler: async (request) => {
      const { limit = 20, cursor } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listOrganizationBudgets(deps.db, { limit: limit + 1, after });
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return {
        data: shown.map(present),
        next_cursor: last ? encodeCursor(last.createdAt, last.id, deps.cursorSecret) : null,
        has_more: last !== undefined,
      };
    },
  });
}

function present(budget: BudgetRow): Budget {
  return {
    id: toId("budget", budget.id),
    organization_id: toId("organization", budget.organizationId),
    level: "organization",
    period: "total",
    limit_nanos: budget.limit.toString(),
    settled_nanos: budget.settled.toString(),
    granted_nanos: budget.granted.toString(),
    updated_at: budget.updatedAt.toISOString(),
  };
}
