/** The budgets and accounts of one organization, as this process knows them. */
import { type NanoDollars, Problem, type RequestId } from "@nexus/core";
import { type Account, isUnsure, openAccount } from "./account.ts";
import { openAccounts } from "./accounts.store.ts";
import { type Budget, chargedSubjects, type Payer } from "./budget.ts";
import { loadBudgets } from "./load-budgets.ts";
import type { BlockDeps } from "./obtain-blocks.ts";
import { refuseUnknownBudget } from "./refuse-spending.ts";

interface Charge {
  payer: Payer;
  model: string;
  amount: NanoDollars;
  requestId: RequestId;
}

interface Charged {
  budget: Budget;
  subject: string;
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

export class Purse {
  readonly organizationId: string;
  /** Those of all purses, by their ids. */
  readonly #byId: Map<string, Account>;
  readonly #accounts = new Map<string, Account>();
  readonly #charges = new Map<string, KnownCharge>();
  #budgets: readonly Budget[] | undefined;
  /** Counts the times that the budgets were told to have changed. */
  #version = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(organizationId: string, byId: Map<string, Account>) {
    this.organizationId = organizationId;
    this.#byId = byId;
  }

  /** Somebody waits for PostgreSQL. */
  get isBusy(): boolean {
    return this.#waiting > 0;
  }

  /** What a call is charged to, if that is known and every window is still open. */
  accountsOf(payer: Payer, model: string, now: number): readonly Account[] | undefined {
    const known = this.#charges.get(chargeName(payer, model));
    if (known?.tags !== payer.tags || known.budgetIds !== payer.budgetIds) return undefined;
    return known.accounts.every(({ closesAt }) => closesAt > now) ? known.accounts : undefined;
  }

  /** The same, asking PostgreSQL. @throws Problem `budget_exceeded` where nobody has given the organization a budget */
  async openAccounts(deps: BlockDeps, charge: Charge): Promise<readonly Account[]> {
    const { payer, model } = charge;
    const charged = chargedBudgets(await this.#readBudgets(deps, charge), charge);
    await this.#openMissing(deps, charged);
    const accounts = charged.map((one) => {
      const account = this.#accounts.get(nameOf(one));
      if (account) return account;
      throw new Problem("unavailable", "The account of a budget could not be opened.", { headers: { "retry-after": "1" } });
    });
    if (this.#charges.size >= mostCharges) this.#charges.clear();
    this.#charges.set(chargeName(payer, model), { tags: payer.tags, budgetIds: payer.budgetIds, accounts });
    return accounts;
  }

  /** The budgets have changed: the next call reads them again. */
  forgetBudgets(): void {
    this.#version++;
    this.#budgets = undefined;
    this.#charges.clear();
  }

  /** Work with PostgreSQL, one after the other. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    const turn = this.#queue.then(work).finally(() => {
      this.#waiting--;
    });
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Every account. */
  held(): Account[] {
    return [...this.#accounts.values()];
  }

  /** Those that no call has used for a while, or whose window is over. */
  idle(now: number, idleMs: number): Account[] {
    return this.held().filter(({ closesAt, usedAt }) => closesAt <= now || now - usedAt >= idleMs);
  }

  /** Forgets what has not been used for long. True when nothing is left. */
  sweep(now: number, idleMs: number): boolean {
    for (const [name, account] of this.#accounts) {
      if (account.reserved !== 0n || account.free > 0n || isUnsure(account)) continue;
      if (account.closesAt > now && now - account.usedAt < idleMs * forgetAfterIdles) continue;
      this.#accounts.delete(name);
      this.#byId.delete(account.id);
      this.#charges.clear();
    }
    return this.#accounts.size === 0;
  }

  async #readBudgets(deps: BlockDeps, { requestId, amount }: Charge): Promise<readonly Budget[]> {
    while (!this.#budgets) {
      const version = this.#version;
      const read = await loadBudgets(deps, { organizationId: this.organizationId, requestId, amount });
      // What was announced meanwhile may not be among it.
      if (version === this.#version) this.#budgets = read;
    }
    for (const account of this.#accounts.values()) {
      const budget = this.#budgets.find(({ id }) => id === account.budget.id);
      if (budget) Object.assign(account, { budget, told: undefined });
    }
    return this.#budgets;
  }

  async #openMissing(deps: BlockDeps, charged: readonly Charged[]): Promise<void> {
    const now = deps.clock.monotonic();
    const missing = charged.filter((one) => (this.#accounts.get(nameOf(one))?.closesAt ?? now) <= now);
    if (missing.length === 0) return;
    const asked = missing.map(({ budget, subject }) => ({ budgetId: budget.id, subject }));
    for (const { id, budgetId, subject, resetsAt, msLeft, settled, granted } of await openAccounts(deps.db, asked)) {
      const one = missing.find((other) => other.budget.id === budgetId && other.subject === subject);
      if (!one) continue;
      const closesAt = msLeft === null ? Infinity : deps.clock.monotonic() + msLeft;
      const same = this.#byId.get(id);
      if (same) {
        // PostgreSQL's window is not over, or is open again: a second account of one grant would count it twice.
        same.closesAt = closesAt;
        this.#accounts.delete(closedName(same));
        this.#enter(nameOf(one), same);
        continue;
      }
      const account = openAccount({ id, budget: one.budget, subject, resetsAt, closesAt, figures: { settled, granted } });
      this.#enter(nameOf(one), account);
      this.#byId.set(id, account);
    }
  }

  /** That of the window before stays until what it holds is given back. */
  #enter(name: string, account: Account): void {
    const last = this.#accounts.get(name);
    if (last && last !== account) this.#accounts.set(closedName(last), last);
    this.#accounts.set(name, account);
  }
}

/** @throws Problem `budget_exceeded` when the key is charged to a budget that is not there */
function chargedBudgets(budgets: readonly Budget[], { payer, model, amount }: Charge): Charged[] {
  for (const id of payer.budgetIds) if (!budgets.some((budget) => budget.id === id)) throw refuseUnknownBudget(id, amount);
  return budgets.flatMap((budget) => chargedSubjects(budget, payer, model).map((subject) => ({ budget, subject })));
}

function nameOf({ budget, subject }: Charged): string {
  return `${budget.id} ${subject}`;
}

function closedName({ id }: Account): string {
  return `${id} closed`;
}

/** The session last, as only it can hold anything. */
function chargeName({ keyId, userId, session }: Payer, model: string): string {
  return `${keyId} ${userId} ${model} ${session === null ? "" : `=${session}`}`;
}
