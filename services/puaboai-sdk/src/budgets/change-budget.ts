/** What administrators do to budgets. Each with its audit entry, and word to every gateway process, in one transaction. */
import type { AuditWriter } from "@nexus/audit";
import type { ChangeFeed } from "@nexus/change-feed";
import { assert, type Clock, newUuid, type NanoDollars, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { PersonCaller, RequestContext } from "@nexus/http";
import {
  type BudgetRow,
  findBudget,
  findBudgetOf,
  insertBudget,
  lockBudget,
  type NewBudget,
  recordBudgetChange,
  updateBudget,
} from "./budgets.store.ts";

export interface ChangeDeps {
  db: Db;
  audit: AuditWriter;
  clock: Clock;
  feed: Pick<ChangeFeed, "announce">;
}

export interface ChangedBy {
  caller: PersonCaller;
  context: RequestContext;
}

interface BudgetTerms {
  limit: NanoDollars;
  enforcement?: "hard" | "soft" | undefined;
  alertPercents?: readonly number[] | undefined;
}

type BudgetAction = "budget.created" | "budget.updated" | "budget.released" | "budget.deleted";

const noSuchOrganization = "23503";

/** @throws Problem `not_found` for an unknown organization, `conflict` where there is one for this subject and period */
export async function createBudget(
  deps: ChangeDeps,
  budget: Omit<NewBudget, "id" | "organizationId"> & { organizationId: string },
  by: ChangedBy,
): Promise<BudgetRow> {
  const organizationId = uuidOf("organization", budget.organizationId);
  if (!organizationId) throw new Problem("not_found", "There is no such organization.");
  const id = newUuid(deps.clock.now());
  return await commit(deps, by, {
    action: "budget.created",
    find: async (tx) => {
      if (!(await insertBudget(tx, { ...budget, id, organizationId })))
        throw new Problem("conflict", "There is a budget for this subject and period.");
      return { id, before: undefined };
    },
  });
}

/** Sets what an organization may spend in total, making the budget where there is none. @throws Problem `not_found` */
export async function setOrganizationBudget(
  deps: ChangeDeps,
  { organizationId, ...terms }: BudgetTerms & { organizationId: string },
  by: ChangedBy,
): Promise<BudgetRow> {
  const organization = uuidOf("organization", organizationId);
  if (!organization) throw new Problem("not_found", "There is no such organization.");
  const of = { organizationId: organization, level: "organization", subject: "", period: "total" } as const;
  const id = newUuid(deps.clock.now());
  return await commit(deps, by, {
    action: "budget.updated",
    find: async (tx) => {
      const { enforcement = "hard" } = terms;
      if (await insertBudget(tx, { ...of, ...terms, id, enforcement })) return { id, before: undefined };
      const there = await findBudgetOf(tx, of);
      return there && (await setTerms(tx, there.id, terms));
    },
  });
}

/**
 * A limit below what is spent is allowed: it stops further calls. What gateway processes hold of the old limit goes back within
 * the bound of the change feed. @throws Problem `not_found`
 */
export async function setBudget(
  deps: ChangeDeps,
  { id, ...terms }: BudgetTerms & { id: string },
  by: ChangedBy,
): Promise<BudgetRow> {
  return await commit(deps, by, {
    action: "budget.updated",
    find: async (tx) => await setTerms(tx, id, terms),
  });
}

/** After an overrun: the budget pays again. @throws Problem `not_found` */
export async function releaseFrozenBudget(deps: ChangeDeps, id: string, by: ChangedBy): Promise<BudgetRow> {
  return await commit(deps, by, {
    action: "budget.released",
    find: async (tx) => {
      const before = await findLocked(tx, id);
      if (before) await updateBudget(tx, id, { frozenAt: null });
      return before && { id, before };
    },
  });
}

/** What it has paid for stays on record. @throws Problem `not_found` */
export async function deleteBudget(deps: ChangeDeps, id: string, by: ChangedBy): Promise<void> {
  await commit(deps, by, {
    action: "budget.deleted",
    find: async (tx) => {
      const before = await findLocked(tx, id);
      if (before?.level === "credit") throw new Problem("conflict", "Credit is taken back by an entry below zero.");
      if (before) await updateBudget(tx, id, { isDeleted: true });
      return before && { id, before };
    },
  });
}

async function setTerms(tx: Db, id: string, terms: BudgetTerms): ReturnType<Work["find"]> {
  const before = await findLocked(tx, id);
  if (before?.level === "credit") throw new Problem("conflict", "Credit changes by adding to it.");
  if (before) await updateBudget(tx, id, terms);
  return before && { id, before };
}

async function findLocked(tx: Db, id: string): Promise<BudgetRow | undefined> {
  return (await lockBudget(tx, id)) ? await findBudget(tx, id) : undefined;
}

interface Work {
  action: BudgetAction;
  /** Does it; `undefined`: the budget is not there. */
  find: (tx: Db) => Promise<{ id: string; before: BudgetRow | undefined } | undefined>;
}

async function commit(deps: ChangeDeps, by: ChangedBy, { action, find }: Work): Promise<BudgetRow> {
  const { after, change } = await inTransaction(deps.db, async (tx) => {
    const done = await find(tx).catch(asProblem);
    if (!done) throw new Problem("not_found", "There is no such budget.");
    const found = (await findBudget(tx, done.id)) ?? done.before;
    assert(found, "a budget that was just written is there");
    await writeEntry(tx, deps, by, { action: done.before ? action : "budget.created", before: done.before, after: found });
    return { after: found, change: await recordBudgetChange(tx, found.id, found.organizationId) };
  });
  deps.feed.announce([change]);
  return after;
}

async function writeEntry(
  tx: Db,
  { audit }: ChangeDeps,
  { caller, context }: ChangedBy,
  { action, before, after }: { action: BudgetAction; before: BudgetRow | undefined; after: BudgetRow },
): Promise<void> {
  await audit.write(tx, {
    action,
    outcome: "success",
    organizationId: toId("organization", after.organizationId),
    actor: { kind: "person", id: caller.userId },
    targets: [{ kind: "budget", id: toId("budget", after.id) }],
    context,
    details: {
      level: after.level,
      subject: after.subject,
      period: after.period,
      enforcement: after.enforcement,
      limit_nanos_before: before === undefined ? null : before.limit.toString(),
      limit_nanos: after.limit.toString(),
    },
  });
}

/** Of a statement that names an organization. @throws Problem `not_found` */
export function asProblem(error: unknown): never {
  if ((error as { code?: unknown }).code === noSuchOrganization) throw new Problem("not_found", "There is no such organization.");
  throw error;
}
