import {
  Budget,
  BudgetPage,
  BudgetParams,
  BudgetsQuery,
  CreateBudgetRequest,
  SetBudgetParams,
  SetBudgetRequest,
} from "@nexus/contracts/budgets";
import { decodeCursor, encodeCursor } from "@nexus/db";
import { type App, type FastifyRequest, personOf, requestContext } from "@nexus/http";
import type { Logger } from "@nexus/telemetry";
import type { Catalogue } from "../catalogue/catalogue.ts";
import { requireModel } from "../catalogue/require-name.ts";
import { addAccountRoutes } from "./accounts.routes.ts";
import { each } from "./budget.ts";
import { type BudgetRow, findBudget, listBudgets } from "./budgets.store.ts";
import type { Budgets } from "./budgets.ts";
import {
  type ChangedBy,
  type ChangeDeps,
  createBudget,
  deleteBudget,
  releaseFrozenBudget,
  setBudget,
  setOrganizationBudget,
} from "./change-budget.ts";
import { findShown, rowIdOf } from "./find-shown.ts";
import { presentBudget } from "./present-budget.ts";
import { readLimit, readPeriod, readSubject } from "./read-budget.ts";

export interface BudgetRouteDeps extends ChangeDeps {
  cursorSecret: Buffer;
  budgets: Pick<Budgets, "release">;
  catalogue: Pick<Catalogue, "all" | "routes">;
  logger: Pick<Logger, "warn">;
}

const config = { permission: "admin" } as const;
const tags = ["budgets"];
const list = "/v1/admin/budgets";
const one = `${list}/:id`;

export function addBudgetRoutes(app: App, deps: BudgetRouteDeps): void {
  addReadingRoutes(app, deps);
  addChangingRoutes(app, deps);
  addEndingRoutes(app, deps);
  addAccountRoutes(app, deps);
}

function addReadingRoutes(app: App, deps: BudgetRouteDeps): void {
  app.route({
    method: "GET",
    url: list,
    config,
    schema: {
      summary: "The budgets of all organizations, newest first",
      tags,
      querystring: BudgetsQuery,
      response: { 200: BudgetPage },
    },
    handler: async (request) => {
      const { limit = 20, cursor, organization_id: organization, level } = request.query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const organizationId = organization === undefined ? undefined : rowIdOf("organization", organization);
      const rows = await listBudgets(deps.db, { organizationId, level }, { limit: limit + 1, after });
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return {
        data: shown.map(presentBudget),
        next_cursor: last ? encodeCursor(last.createdAt, last.id, deps.cursorSecret) : null,
        has_more: last !== undefined,
      };
    },
  });
  app.route({
    method: "GET",
    url: one,
    config,
    schema: {
      summary: "One budget, or what an organization may spend in total",
      tags,
      params: SetBudgetParams,
      response: { 200: Budget },
    },
    handler: async (request) => presentBudget(await findShown(deps.db, request.params.id)),
  });
}

function addChangingRoutes(app: App, deps: BudgetRouteDeps): void {
  app.route({
    method: "POST",
    url: list,
    config,
    schema: {
      summary: "Bound what a part of an organization may spend",
      tags,
      body: CreateBudgetRequest,
      response: { 201: Budget },
    },
    handler: async (request, reply) => {
      const {
        organization_id: organizationId,
        level,
        period,
        enforcement = "hard",
        alert_percents: alertPercents,
      } = request.body;
      const terms = {
        subject: readSubject(request.body),
        period: readPeriod(level, period),
        limit: readLimit(request.body.limit_nanos),
      };
      // A budget of no model would bound nothing.
      if (level === "model" && terms.subject !== each) requireModel(deps.catalogue, { pointer: "/subject", name: terms.subject });
      const budget = await createBudget(
        deps,
        { organizationId, level, enforcement, alertPercents, ...terms },
        changedBy(request),
      );
      return await reply.code(201).send(await settled(deps, budget));
    },
  });
  app.route({
    method: "PUT",
    url: one,
    config,
    schema: {
      summary: "Set the limit of a budget, or what an organization may spend in total",
      tags,
      params: SetBudgetParams,
      body: SetBudgetRequest,
      response: { 200: Budget },
    },
    handler: async (request) => {
      const { enforcement, alert_percents: alertPercents } = request.body;
      const terms = { limit: readLimit(request.body.limit_nanos), enforcement, alertPercents };
      const { id } = request.params;
      const budget = id.startsWith("org_")
        ? await setOrganizationBudget(deps, { organizationId: id, ...terms }, changedBy(request))
        : await setBudget(deps, { id: rowIdOf("budget", id), ...terms }, changedBy(request));
      return await settled(deps, budget);
    },
  });
}

function addEndingRoutes(app: App, deps: BudgetRouteDeps): void {
  app.route({
    method: "POST",
    url: `${one}/release`,
    config,
    schema: {
      summary: "Let a budget pay again that an overrun has frozen",
      tags,
      params: BudgetParams,
      response: { 200: Budget },
    },
    handler: async (request) =>
      await settled(deps, await releaseFrozenBudget(deps, rowIdOf("budget", request.params.id), changedBy(request))),
  });
  app.route({
    method: "DELETE",
    url: one,
    config,
    schema: { summary: "Take a budget away; what it has paid for stays on record", tags, params: BudgetParams },
    handler: async (request, reply) => {
      await deleteBudget(deps, rowIdOf("budget", request.params.id), changedBy(request));
      return await reply.code(204).send();
    },
  });
}

function changedBy(request: FastifyRequest): ChangedBy {
  return { caller: personOf(request), context: requestContext(request) };
}

/** What this process holds of the old limit is given back before the answer, so that it shows what is so. */
async function settled(deps: BudgetRouteDeps, budget: BudgetRow): Promise<Budget> {
  await deps.budgets.release(budget.organizationId).catch((error: unknown) => {
    deps.logger.warn({ err: error }, "a block of a changed budget could not be given back");
  });
  return presentBudget((await findBudget(deps.db, budget.id)) ?? budget);
}
