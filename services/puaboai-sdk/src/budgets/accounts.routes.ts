import { BudgetAccountPage, BudgetAccountsQuery, BudgetParams } from "@nexus/contracts/budgets";
import { type Db, decodeCursor, encodeCursor } from "@nexus/db";
import type { App } from "@nexus/http";
import { each } from "./budget.ts";
import { findShown } from "./find-shown.ts";
import { listAccounts } from "./list-accounts.store.ts";
import { subjectText } from "./present-budget.ts";

export function addAccountRoutes(app: App, deps: { db: Db; cursorSecret: Buffer }): void {
  app.route({
    method: "GET",
    url: "/v1/admin/budgets/:id/accounts",
    config: { permission: "admin" },
    schema: {
      summary: "The windows and subjects of a budget with what each has spent, the latest used first",
      tags: ["budgets"],
      params: BudgetParams,
      querystring: BudgetAccountsQuery,
      response: { 200: BudgetAccountPage },
    },
    handler: async (request) => {
      const budget = await findShown(deps.db, request.params.id);
      const { limit = 20, cursor } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listAccounts(deps.db, budget.id, { limit: limit + 1, after });
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return {
        data: shown.map((row) => ({
          id: row.id,
          subject: subjectText(budget.level, row.subject || (budget.subject === each ? "" : budget.subject)),
          window_start: row.window_end === null ? null : row.window_start.toISOString(),
          resets_at: row.window_end?.toISOString() ?? null,
          settled_nanos: row.settled_nanos.toString(),
          granted_nanos: row.granted_nanos.toString(),
          updated_at: row.updated_at.toISOString(),
        })),
        next_cursor: last ? encodeCursor(last.updated_at, last.id, deps.cursorSecret) : null,
        has_more: last !== undefined,
      };
    },
  });
}
