/** The budgets and accounts of one organization, as this process knows them. */
import { type NanoDollars, Problem, type RequestId } from "@nexus/core";
import { type Account, openAccount } from "./account.ts";
import { type AccountToOpen, openAccounts } from "./accounts.store.ts";
import { type Budget, chargedSubjects, type Payer } from "./budget.ts";
import { loadBudgets } from "./load-budgets.ts";
import type { BlockDeps } from "./obtain-blocks.ts";
import { refuseUnknownBudget } from "./refuse-spending.ts";

interface Charge {
  payer: Payer;
  model: string;
}

export interface Purse {
  readonly organizationId: string;
  /** Somebody waits for PostgreSQL. */
  readonly isBusy: boolean;
  /** What a call is charged to, if that is known and every window is still open. */
  accountsOf(payer: Payer, model: string, now: number): readonly Account[] | undefined;
  /** The same, asking PostgreSQL. @throws Problem `budget_exceeded` where nobody has given the organization a budget */
  openAccounts(deps: BlockDeps, wanted: Charge & { requestId: RequestId; amount: NanoDollars }): Promise<readonly Account[]>;
  /** The budgets have changed: the next call reads them again. */
  forgetBudgets(): void;
  /** Work with PostgreSQL, one after the other. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** Every account. */
  held(): Account[];
  /** Those that no call has used for a while, or whose window is over. */
  idle(now: number, idleMs: number): Account[];
  /** Forgets what has not been used for long. True when nothing is left. */
  sweep(now: number, idleMs: number): boolean;
}

interface KnownCharge {
  tags: readonly string[];
  budgetIds: readonly string[];
  accounts: readonly Account[];
}

/** Calls of different keys, models and sessions of which the accounts are remembered; past that all are looked up again. */
const mostCharges = 10_000;
/** An account without calls is forgotten after so many times the idle time. */
const forgetAfterIdles = 60;

export function openPurse(organizationId: string, byId: Map<string, Account>): Purse {
  const accounts = new Map<string, Account>();
  const charges = new Map<string, KnownCharge>();
  let budgets: readonly Budget[] | undefined;
  let version = 0;
  let queue: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  async function readBudgets(deps: BlockDeps, asked: { requestId: RequestId; amount: NanoDollars }): Promise<readonly Budget[]> {
    while (!budgets) {
      const before = version;
      const read = await loadBudgets(deps, { organizationId, ...asked });
      // What was announced meanwhile may not be among it.
      if (before === version) budgets = read;
    }
    for (const account of accounts.values()) {
      const budget = budgets.find(({ id }) => id === account.budget.id);
      if (budget) Object.assign(account, { budget, told: undefined });
    }
    return budgets;
  }

  return {
    organizationId,
    get isBusy() {
      return waiting > 0;
    },
    accountsOf(payer, model, now) {
      const known = charges.get(chargeName(payer, model));
      if (known?.tags !== payer.tags || known.budgetIds !== payer.budgetIds) return undefined;
      return known.accounts.every(({ closesAt }) => closesAt > now) ? known.accounts : undefined;
    },
    async openAccounts(deps, { payer, model, requestId, amount }) {
      const charged = pairsOf(await readBudgets(deps, { requestId, amount }), payer, model);
      const now = deps.clock.monotonic();
      const missing = charged.filter(({ budget, subject }) => {
        const account = accounts.get(nameOf(budget.id, subject));
        return !account || account.closesAt <= now;
      });
      for (const { budget, subject, opened } of await openEach(deps, missing)) {
        const { id, resetsAt, msLeft, settled, granted } = opened;
        const closesAt = msLeft === null ? Infinity : deps.clock.monotonic() + msLeft;
        const account = openAccount({ id, budget, subject, resetsAt, closesAt, figures: { settled, granted } });
        // What the last window holds is given back first: its account is not found by its name any more.
        const last = accounts.get(nameOf(budget.id, subject));
        if (last) accounts.set(`${last.id} closed`, last);
        accounts.set(nameOf(budget.id, subject), account);
        byId.set(id, account);
      }
      const found = charged.map(({ budget, subject }) => {
        const account = accounts.get(nameOf(budget.id, subject));
        if (!account)
          throw new Problem("unavailable", "The account of a budget could not be opened.", { headers: { "retry-after": "1" } });
        return account;
      });
      if (charges.size >= mostCharges) charges.clear();
      charges.set(chargeName(payer, model), { tags: payer.tags, budgetIds: payer.budgetIds, accounts: found });
      return found;
    },
    forgetBudgets() {
      version++;
      budgets = undefined;
      charges.clear();
    },
    inTurn(work) {
      waiting++;
      const turn = queue.then(work).finally(() => {
        waiting--;
      });
      queue = turn.catch(() => {});
      return turn;
    },
    held: () => [...accounts.values()],
    idle: (now, idleMs) => [...accounts.values()].filter((account) => account.closesAt <= now || now - account.usedAt >= idleMs),
    sweep(now, idleMs) {
      for (const [name, account] of accounts) {
        if (account.reserved !== 0n || account.free > 0n) continue;
        const isOver = account.closesAt <= now || now - account.usedAt >= idleMs * forgetAfterIdles;
        if (!isOver) continue;
        accounts.delete(name);
        byId.delete(account.id);
        charges.clear();
      }
      return accounts.size === 0;
    },
  };
}

/** Hard budgets first, so that a refusal names one of them. @throws Problem `budget_exceeded` */
function pairsOf(budgets: readonly Budget[], payer: Payer, model: string): { budget: Budget; subject: string }[] {
  for (const id of payer.budgetIds) if (!budgets.some((budget) => budget.id === id)) throw refuseUnknownBudget(id);
  return budgets.flatMap((budget) => chargedSubjects(budget, payer, model).map((subject) => ({ budget, subject })));
}

async function openEach(deps: BlockDeps, pairs: readonly { budget: Budget; subject: string }[]) {
  if (pairs.length === 0) return [];
  const asked = pairs.map(({ budget, subject }): AccountToOpen => ({ budgetId: budget.id, subject }));
  const opened = await openAccounts(deps.db, asked);
  return pairs.flatMap(({ budget, subject }) => {
    const found = opened.find((one) => one.budgetId === budget.id && one.subject === subject);
    return found ? [{ budget, subject, opened: found }] : [];
  });
}

function nameOf(budgetId: string, subject: string): string {
  return `${budgetId} ${subject}`;
}

function chargeName({ keyId, userId, session }: Payer, model: string): string {
  return `${keyId} ${userId} ${model} ${session}`;
}
