/** One burst of calls against a fresh key with a budget too small for them, one fault in the middle, and the books afterwards. */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { toId } from "@nexus/core";
import type { Bills } from "../against/bills.ts";
import type { Sample } from "../benchmark.ts";
import { callAtOnce } from "../load/call-budget.ts";
import type { BudgetBooks, Money } from "./budget-books.ts";
import type { Child } from "./start-child.ts";

export interface BudgetScene {
  gateways: {
    urls(): string[];
    /** SIGKILL. */
    kill(index: number): Promise<void>;
    signal(index: number, signal: "SIGSTOP" | "SIGCONT"): void;
    /** Starts those again that were killed, and waits until all accept this key. */
    heal(secret: string): Promise<void>;
  };
  emptyRedis: () => Promise<void>;
  restartPostgres: () => Promise<void>;
  /** A fresh key with a budget of so much. */
  issueKey(limitNanos: number): Promise<{ id: string; secret: string; budgetId: string }>;
  upstream: Child;
  books: BudgetBooks;
}

interface Burst {
  name: string;
  count: number;
  inject: () => Promise<void>;
}

/** Nano-dollars a call may cost on average: what the upstream bills for 30 tokens in and 20 out. */
const nanosPerCall = 70_000;
const patienceMs = 60_000;

export async function measureFault(scene: BudgetScene, { name, count, inject }: Burst): Promise<Sample> {
  const limitNanos = Math.round((count * nanosPerCall) / 2);
  const key = await scene.issueKey(limitNanos);
  const watched = watch(scene.books, key.budgetId, BigInt(limitNanos));
  const startedAt = performance.now();
  const answers = callAtOnce({ urls: scene.gateways.urls(), secret: key.secret, count });
  await delay(100);
  const [statuses] = await Promise.all([Promise.all(answers), inject()]);
  const elapsedMs = performance.now() - startedAt;
  const answeredAt = performance.now();
  const money = await closedBooks(scene.books, key);
  const closedMs = Math.round(performance.now() - answeredAt);
  const { looks, beyondNanos } = await watched.stop();
  const bills = await billsOf(scene.upstream);
  const rows = await scene.books.rows(key.id);
  const counted = new Map([...rows].map(([id, number]) => [toId("request", id) as string, number]));
  const billed = bills.reduce((sum, { nanos }) => sum + nanos, 0);
  const asked = new Set(bills.map(({ requestId }) => requestId));
  return {
    side: name,
    ratePerSecond: Math.round((count / elapsedMs) * 1000),
    cpuMicrosPerRequest: 0,
    told: told(statuses),
    limitNanos,
    billedNanos: billed,
    settledNanos: Number(money.settledNanos),
    grantedNanos: Number(money.grantedNanos),
    overspendNanos: Math.max(0, billed - limitNanos),
    beyondLimitNanos: Number(beyondNanos),
    rowsDifferNanos: Math.abs(Number(money.settledNanos - money.rowsNanos)),
    wrongRows: [...asked].filter((id) => counted.get(id) !== 1).length,
    looks,
    closedMs,
  };
}

/** Waits until nothing is set aside and the rows are what is settled; what stands then, or when patience ends. */
async function closedBooks(books: BudgetBooks, key: { id: string; budgetId: string }): Promise<Money> {
  const until = performance.now() + patienceMs;
  for (;;) {
    const money = await books.money(key.budgetId, key.id).catch(() => undefined);
    const closed = money?.grantedNanos === 0n && money.settledNanos === money.rowsNanos;
    if (money && (closed || performance.now() > until)) return money;
    await delay(100);
  }
}

/** Looks at the budget again and again; a look that PostgreSQL does not answer is none. */
function watch(books: BudgetBooks, budgetId: string, limit: bigint): { stop(): Promise<{ looks: number; beyondNanos: bigint }> } {
  const state = { looks: 0, beyondNanos: 0n, stopped: false };
  const watching = (async () => {
    while (!state.stopped) {
      const account = await books.account(budgetId).catch(() => undefined);
      if (account) {
        state.looks++;
        const beyond = account.settledNanos + account.grantedNanos - limit;
        if (beyond > state.beyondNanos) state.beyondNanos = beyond;
      }
      await delay(10);
    }
  })();
  return {
    stop: async () => {
      state.stopped = true;
      await watching;
      return { looks: state.looks, beyondNanos: state.beyondNanos };
    },
  };
}

async function billsOf(upstream: Child): Promise<Bills> {
  upstream.process.send("bills");
  const [bills] = (await once(upstream.process, "message")) as [Bills];
  return bills;
}

/** How many answers of each status; 0 stands for none. */
function told(statuses: readonly number[]): string {
  const counts = Map.groupBy(statuses, (status) => status);
  return [...counts]
    .toSorted(([a], [b]) => a - b)
    .map(([status, { length }]) => `${status || "no answer"} × ${length}`)
    .join(", ");
}
