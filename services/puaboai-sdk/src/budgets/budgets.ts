/**
 * The money of this process. PostgreSQL grants it blocks of each account that calls are charged to; a call is paid for out of its
 * blocks in memory, of all its accounts or of none, so that the usual priced call asks nobody. Blocks grow with traffic and are
 * refilled before they are empty, go back when idle, and near the limit are no larger than one call.
 *
 * At every instant: what `budget_grants` says of this process = free + set aside for running calls + cost of finished calls whose rows
 * PostgreSQL has not taken; where an answer of PostgreSQL was lost it says more, until it has been asked. So `settled + granted ≤ limit`
 * holds there without a look at this memory.
 */
import type { NanoDollars, RequestId } from "@nexus/core";
import type { Logger } from "@nexus/telemetry";
import {
  type Account,
  type AccountFigures,
  hearFigures,
  isHard,
  isLow,
  isUnsure,
  settleInMemory,
  takeFromAll,
  tell,
} from "./account.ts";
import type { Payer } from "./budget.ts";
import { askGrants, type BlockDeps, giveBackFree, obtainBlocks, refillAhead } from "./obtain-blocks.ts";
import { Purse } from "./purse.ts";

/** Money set aside for one call. */
export interface Reservation {
  /** Every account that the call is charged to; uuids. */
  readonly accountIds: readonly string[];
  /** The budgets as they stood, for whoever asks later why the call was let through: JSON. */
  readonly decision: string;
  /** One of them refuses what it does not cover. */
  readonly isHard: boolean;
  /** Of a budget of which a told share is spent. */
  readonly warning: string | undefined;
  /**
   * The call is over and has cost this: the rest is free again. Once.
   * @returns for its row, where there is any: what nothing that was granted covers, by account in their order; nano-dollars
   */
  settle(cost: NanoDollars): readonly string[] | undefined;
}

export interface WantedMoney {
  payer: Payer;
  /** Id of the model, as the catalogue names it. */
  model: string;
  amount: NanoDollars;
  requestId: RequestId;
}

const idleMs = 1000;
const sweepMs = 500;

/** Owns the purses of organizations and the timer that gives back what lies idle. */
export class Budgets {
  readonly #deps: BlockDeps & { logger: Pick<Logger, "warn"> };
  readonly #purses = new Map<string, Purse>();
  /** Those of all purses, by their ids. */
  readonly #accounts = new Map<string, Account>();
  readonly #sweep: NodeJS.Timeout;

  constructor(deps: BlockDeps & { logger: Pick<Logger, "warn"> }) {
    this.#deps = deps;
    this.#sweep = setInterval(() => this.#returnIdle(), sweepMs);
    this.#sweep.unref();
  }

  /**
   * No promise where nobody has to be waited for, which is the usual call.
   * @throws Problem `budget_exceeded`, or PostgreSQL's error when a block is needed and it is away
   */
  reserve(wanted: WantedMoney): Reservation | Promise<Reservation> {
    const { organizationId } = wanted.payer;
    let purse = this.#purses.get(organizationId);
    if (!purse) this.#purses.set(organizationId, (purse = new Purse(organizationId, this.#accounts)));
    const accounts = purse.accountsOf(wanted.payer, wanted.model, this.#deps.clock.monotonic());
    const taken = accounts && this.#take(accounts, wanted.amount);
    if (taken) {
      if (accounts.some(isLow)) this.#refillAhead(purse, accounts, wanted.amount);
      return taken;
    }
    const found = purse;
    return found.inTurn(() => this.#refill(found, wanted));
  }

  /** The budgets of an organization have changed, or of all: what is held of the old ones is not spent under the new ones. */
  changed(organizationId: string | undefined): void {
    const purses = organizationId === undefined ? [...this.#purses.values()] : [this.#purses.get(organizationId)];
    for (const purse of purses) {
      if (!purse) continue;
      purse.forgetBudgets();
      this.#giveBackLater(purse, () => purse.held());
    }
  }

  /** As `changed`, and resolves when what was held is given back. */
  async release(organizationId: string): Promise<void> {
    const purse = this.#purses.get(organizationId);
    if (!purse) return;
    purse.forgetBudgets();
    await purse.inTurn(() => giveBackFree(this.#deps, purse.held()));
  }

  /** What PostgreSQL has just told of accounts, as after a commit of finished calls. */
  hear(figures: ReadonlyMap<string, AccountFigures>): void {
    for (const [id, heard] of figures) {
      const account = this.#accounts.get(id);
      if (account) hearFigures(account, heard);
    }
  }

  /** What is still held then is given back with the process's end. */
  close(): void {
    clearInterval(this.#sweep);
  }

  #take(accounts: readonly Account[], amount: NanoDollars): Reservation | undefined {
    const { clock } = this.#deps;
    if (!takeFromAll(accounts, amount, clock.monotonic())) return undefined;
    let settled = false;
    // A budget may have become another kind when the call ends.
    const holds = accounts.map(isHard);
    return {
      accountIds: accounts.map(({ id }) => id),
      decision: decisionOf(accounts),
      warning: warningOf(accounts),
      isHard: accounts.some(isHard),
      settle: (cost) => {
        if (settled) return undefined;
        settled = true;
        const now = clock.monotonic();
        const uncovered = accounts.map((account, at) => (holds[at] ? settleInMemory(account, amount, cost, now) : cost));
        return uncovered.some((part) => part > 0n) ? uncovered.map(String) : undefined;
      },
    };
  }

  #refillAhead(purse: Purse, accounts: readonly Account[], amount: NanoDollars): void {
    if (purse.isBusy) return;
    // Where it fails, the call that needs it tells why.
    purse.inTurn(() => refillAhead(this.#deps, accounts, amount)).catch(() => {});
  }

  /** One after the other within an organization: whoever was before us in the queue may have brought enough. */
  async #refill(purse: Purse, wanted: WantedMoney): Promise<Reservation> {
    const { clock } = this.#deps;
    for (;;) {
      const accounts =
        purse.accountsOf(wanted.payer, wanted.model, clock.monotonic()) ?? (await purse.openAccounts(this.#deps, wanted));
      const taken = this.#take(accounts, wanted.amount);
      if (taken) return taken;
      await obtainBlocks(this.#deps, accounts, wanted);
    }
  }

  #returnIdle(): void {
    const now = this.#deps.clock.monotonic();
    for (const [organizationId, purse] of this.#purses) {
      if (purse.isBusy) continue;
      const unsure = purse.held().filter(isUnsure);
      if (purse.sweep(now, idleMs)) this.#purses.delete(organizationId);
      // As long as PostgreSQL is away, with each sweep.
      else if (unsure.length > 0) purse.inTurn(() => askGrants(this.#deps, unsure)).catch(() => {});
      else if (purse.idle(now, idleMs).some(({ free }) => free > 0n)) this.#giveBackLater(purse, () => purse.idle(now, idleMs));
    }
  }

  #giveBackLater(purse: Purse, which: () => readonly Account[]): void {
    purse
      .inTurn(() => giveBackFree(this.#deps, which()))
      .catch((error: unknown) => {
        const fields = { err: error, organization: purse.organizationId };
        this.#deps.logger.warn(fields, "an idle block of a budget could not be given back; it is tried again");
      });
  }
}

/** Shares of a limit below this one warn nobody who calls. */
const warnsFromPercent = 80;

/** JSON, as it stands on the row of every priced call. */
function decisionOf(accounts: readonly Account[]): string {
  return `[${accounts.map((account) => tell(account).decision).join(",")}]`;
}

/** The fullest budget, once most of it is spent. */
function warningOf(accounts: readonly Account[]): string | undefined {
  let fullest: Account | undefined;
  for (const account of accounts) {
    const { spentPercent } = tell(account);
    if (spentPercent >= warnsFromPercent && (!fullest || spentPercent > tell(fullest).spentPercent)) fullest = account;
  }
  if (!fullest) return undefined;
  const { level, period } = fullest.budget;
  return `level=${level}; period=${period}; spent_percent=${tell(fullest).spentPercent}`;
}
