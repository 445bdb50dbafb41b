/**
 * The money of this process. PostgreSQL grants it blocks of each organization's budget; a call is paid for out of its block in memory,
 * so that the usual priced call asks nobody. Blocks grow with traffic, are given back when idle, and near the limit are no larger
 * than one call.
 *
 * At every instant: what `budget_grants` says of this process = free + set aside for running calls + cost of finished calls whose rows
 * PostgreSQL has not taken. So `settled + granted ≤ limit` holds there without a look at this memory.
 */
import type { NanoDollars, RequestId } from "@nexus/core";
import type { Logger } from "@nexus/telemetry";
import { giveBack } from "./budgets.store.ts";
import { type BlockDeps, obtainBlock } from "./obtain-block.ts";

/** Money set aside for one call. */
export interface Reservation {
  budgetId: string;
  /** The call is over and has cost this: the rest is free again. Once. */
  settle(cost: NanoDollars): void;
}

interface Wanted {
  /** uuid */
  organizationId: string;
  amount: NanoDollars;
  requestId: RequestId;
}

/** What this process holds of one organization's budget. */
interface Block {
  budgetId: string;
  /** Below zero after an overrun that has eaten from what running calls hold. */
  free: NanoDollars;
  /** What running calls hold. */
  reserved: NanoDollars;
  /** A refill asks for that many times the call's need. */
  factor: number;
  refilledAt: number;
  usedAt: number;
  /** Refills and returns, one after the other. */
  queue: Promise<unknown>;
  waiting: number;
}

const idleMs = 1000;
const sweepMs = 500;
const largestFactor = 256;

/** Owns the blocks and the timer that gives idle ones back. */
export class Budgets {
  readonly #deps: BlockDeps & { logger: Pick<Logger, "warn"> };
  readonly #blocks = new Map<string, Block>();
  readonly #sweep: NodeJS.Timeout;

  constructor(deps: BlockDeps & { logger: Pick<Logger, "warn"> }) {
    this.#deps = deps;
    this.#sweep = setInterval(() => this.#returnIdle(), sweepMs);
    this.#sweep.unref();
  }

  /** @throws Problem `budget_exceeded`, or PostgreSQL's error when a block is needed and it is away */
  async reserve(wanted: Wanted): Promise<Reservation> {
    const block = this.#blockOf(wanted.organizationId);
    // The usual call ends here, without waiting for anybody.
    return this.#take(block, wanted.amount) ?? (await this.#inTurn(block, () => this.#refill(block, wanted)));
  }

  /** Gives back what is free of an organization's block, as after a change of its limit. */
  async release(organizationId: string): Promise<void> {
    const block = this.#blocks.get(organizationId);
    if (block) await this.#inTurn(block, () => this.#empty(block));
  }

  /** What is still held then is given back with the process's end. */
  close(): void {
    clearInterval(this.#sweep);
  }

  #blockOf(organizationId: string): Block {
    let block = this.#blocks.get(organizationId);
    if (!block) {
      block = {
        budgetId: "",
        free: 0n,
        reserved: 0n,
        factor: 1,
        refilledAt: -Infinity,
        usedAt: 0,
        queue: Promise.resolve(),
        waiting: 0,
      };
      this.#blocks.set(organizationId, block);
    }
    return block;
  }

  #take(block: Block, amount: NanoDollars): Reservation | undefined {
    if (block.budgetId === "" || block.free < amount) return undefined;
    block.free -= amount;
    block.reserved += amount;
    block.usedAt = this.#deps.clock.monotonic();
    let settled = false;
    return {
      budgetId: block.budgetId,
      settle: (cost) => {
        if (settled) return;
        settled = true;
        block.reserved -= amount;
        const rest = block.free + amount - cost;
        // An overrun eats from the others' part, and they have that much less to leave; what it eats beyond is granted to nobody.
        block.free = rest > -block.reserved ? rest : -block.reserved;
        block.usedAt = this.#deps.clock.monotonic();
      },
    };
  }

  async #refill(block: Block, wanted: Wanted): Promise<Reservation> {
    const { amount } = wanted;
    // Whoever was before us in the queue may have brought enough.
    const found = this.#take(block, amount);
    if (found) return found;
    const now = this.#deps.clock.monotonic();
    block.factor = now - block.refilledAt < idleMs ? Math.min(block.factor * 2, largestFactor) : 1;
    block.refilledAt = now;
    const needed = amount - block.free;
    const wish = amount * BigInt(block.factor);
    const { budgetId, granted } = await obtainBlock(this.#deps, {
      ...wanted,
      needed,
      wish: wish > needed ? wish : needed,
      callAmount: amount,
    });
    block.budgetId = budgetId;
    block.free += granted;
    // Settled calls may have freed more meanwhile, never less: only this queue and takers of enough reduce it.
    return this.#take(block, amount) ?? (await this.#refill(block, wanted));
  }

  async #empty(block: Block): Promise<void> {
    const { budgetId, free: amount } = block;
    if (amount <= 0n) return;
    // Taken out first, and not put back if it fails: whether PostgreSQL did it nobody knows then.
    block.free = 0n;
    await giveBack(this.#deps.db, { processId: this.#deps.processId, budgetId, amount });
  }

  #returnIdle(): void {
    const now = this.#deps.clock.monotonic();
    for (const [organizationId, block] of this.#blocks) {
      if (now - block.usedAt < idleMs || block.waiting > 0) continue;
      if (block.free <= 0n) {
        if (block.reserved === 0n) this.#blocks.delete(organizationId);
        continue;
      }
      this.#inTurn(block, () => this.#empty(block)).catch((error: unknown) => {
        this.#deps.logger.warn({ err: error, organization: organizationId }, "an idle block of a budget could not be given back");
      });
    }
  }

  #inTurn<T>(block: Block, work: () => Promise<T>): Promise<T> {
    block.waiting++;
    const turn = block.queue.then(work).finally(() => {
      block.waiting--;
    });
    block.queue = turn.catch(() => {});
    return turn;
  }
}
