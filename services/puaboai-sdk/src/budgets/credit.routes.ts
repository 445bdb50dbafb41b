import { AddCreditAnswer, AddCreditRequest, CreditPage, CreditParams, CreditQuery } from "@nexus/contracts/budgets";
import { Problem, toId, uuidOf } from "@nexus/core";
import { decodeCursor, encodeCursor } from "@nexus/db";
import { type App, personOf, requestContext } from "@nexus/http";
import { addCredit } from "./add-credit.ts";
import type { BudgetRouteDeps } from "./budgets.routes.ts";
import { type CreditEntryRow, listCreditEntries } from "./credit.store.ts";
import { presentBudget } from "./present-budget.ts";
import { mostNanos } from "./read-budget.ts";

const config = { permission: "admin" } as const;
const tags = ["budgets"];
const url = "/v1/admin/credit/:organization_id";

export function addCreditRoutes(app: App, deps: BudgetRouteDeps): void {
  app.route({
    method: "GET",
    url,
    config,
    schema: {
      summary: "The credit entries of an organization, newest first",
      tags,
      params: CreditParams,
      querystring: CreditQuery,
      response: { 200: CreditPage },
    },
    handler: async (request) => {
      const organizationId = uuidOf("organization", request.params.organization_id);
      if (!organizationId) throw new Problem("not_found", "There is no such organization.");
      const { limit = 20, cursor } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listCreditEntries(deps.db, organizationId, { limit: limit + 1, after });
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return {
        data: shown.map(presentEntry),
        next_cursor: last ? encodeCursor(last.createdAt, last.id, deps.cursorSecret) : null,
        has_more: last !== undefined,
      };
    },
  });
  app.route({
    method: "POST",
    url,
    config,
    schema: {
      summary: "Add credit that an organization has bought, once for each reference, or take it back",
      tags,
      params: CreditParams,
      body: AddCreditRequest,
      response: { 200: AddCreditAnswer },
    },
    handler: async (request) => {
      const { reference, note } = request.body;
      const amount = BigInt(request.body.amount_nanos);
      if (amount > mostNanos || amount < -mostNanos) {
        throw new Problem("invalid_request", undefined, {
          errors: [{ pointer: "/amount_nanos", detail: `must be at most ${mostNanos}` }],
        });
      }
      const organizationId = request.params.organization_id;
      const by = { caller: personOf(request), context: requestContext(request) };
      const { entry, budget } = await addCredit(deps, { organizationId, amount, reference, note }, by);
      return { entry: presentEntry(entry), budget: presentBudget(budget) };
    },
  });
}

function presentEntry(entry: CreditEntryRow) {
  return {
    id: toId("credit", entry.id),
    amount_nanos: entry.amount.toString(),
    reference: entry.reference,
    note: entry.note,
    created_at: entry.createdAt.toISOString(),
  };
}
