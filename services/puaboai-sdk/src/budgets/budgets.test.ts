import { setTimeout as delay } from "node:timers/promises";
import { openAuditWriter } from "@nexus/audit";
import { newId, newUuid, systemClock } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createTestDatabase, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { settleRows } from "../usage/settle-rows.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import type { Payer } from "./budget.ts";
import { Budgets, type Reservation } from "./budgets.ts";
import { releaseBudgets } from "./release-budgets.ts";

let database: TestDatabase;
let owner: Database;
let ai: Database;
const opened: Budgets[] = [];
const audit = openAuditWriter({ clock: systemClock, macKey: "k".repeat(32) });

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
  ai = openDatabase(database.ai, { applicationName: "budgets-test" });
});
afterAll(async () => {
  await ai.close();
  await database.drop();
});
afterEach(() => {
  for (const budgets of opened.splice(0)) budgets.close();
});

function openBudgets(db = ai.db): { budgets: Budgets; processId: string } {
  const processId = newUuid();
  const logger = { warn: () => {} };
  const budgets = new Budgets({ db, audit, clock: systemClock, logger, processId, defaultBudget: undefined });
  opened.push(budgets);
  return { budgets, processId };
}

async function makeBudget(limit: bigint): Promise<string> {
  const organizationId = newUuid();
  await owner.db.insertInto("organizations").values({ id: organizationId, name: "o" }).execute();
  const budget = { id: newUuid(), organization_id: organizationId, level: "organization" as const, limit_nanos: limit };
  await owner.db.insertInto("budgets").values(budget).execute();
  return organizationId;
}

const budgetOf = (organizationId: string) =>
  owner.db
    .selectFrom("budgets")
    .leftJoin("budget_accounts", "budget_accounts.budget_id", "budgets.id")
    .select([
      "limit_nanos",
      sql<bigint>`coalesce(settled_nanos, 0)`.as("settled_nanos"),
      sql<bigint>`coalesce(granted_nanos, 0)`.as("granted_nanos"),
    ])
    .where("organization_id", "=", organizationId)
    .executeTakeFirstOrThrow();
const payerOf = (organizationId: string, facts: Partial<Payer> = {}): Payer => ({
  organizationId,
  userId: null,
  keyId: null,
  tags: noTags,
  budgetIds: noTags,
  session: null,
  ...facts,
});
const noTags: readonly string[] = [];
const wanted = (organizationId: string, amount: bigint, facts?: Partial<Payer>) => ({
  payer: payerOf(organizationId, facts),
  model: "m",
  amount,
  requestId: newId("request"),
});

function rowOf(organizationId: string, accountIds: readonly string[], cost: bigint): UsageRow {
  return {
    occurredAt: Date.now(),
    requestId: newUuid(),
    attempt: 1,
    organizationId,
    keyId: null,
    userId: null,
    endpoint: "chat.completions",
    model: "m",
    provider: "p",
    upstreamModel: "u",
    stream: false,
    outcome: "ok",
    httpStatus: 200,
    errorCode: null,
    inputTokens: 1,
    outputTokens: 2,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
    usageSource: "provider",
    cost,
    session: null,
    tags: [],
    accountIds,
    budgetDecision: null,
    reserved: cost,
    price: null,
    durationMs: 1,
    firstByteMs: null,
    clientRequestId: null,
    traceId: null,
  };
}

test("three processes spending at once never pass the limit at any instant, and nothing is left set aside", async () => {
  const limit = 200_000n;
  const organizationId = await makeBudget(limit);
  const processes = [openBudgets(), openBudgets(), openBudgets()];
  let spent = 0n;
  let refused = 0;
  const done = new AbortController();
  const watch = (async () => {
    let looks = 0;
    for (; !done.signal.aborted; looks++) {
      const seen = await budgetOf(organizationId);
      expect(seen.settled_nanos + seen.granted_nanos).toBeLessThanOrEqual(limit);
    }
    return looks;
  })();
  await Promise.all(
    processes.flatMap(({ budgets, processId }, index) =>
      Array.from({ length: 10 }, async (_, worker) => {
        for (let i = 0; i < 30; i++) {
          const amount = BigInt(100 + ((i * 7919 + worker * 131 + index * 17) % 900));
          try {
            const reservation = await budgets.reserve(wanted(organizationId, amount));
            const cost = i % 5 === 0 ? 0n : amount - BigInt(i);
            spent += cost;
            reservation.settle(cost);
            await settleRows({ db: ai.db, audit, processId, setAside: () => expect.unreachable() }, [
              rowOf(organizationId, reservation.accountIds, cost),
            ]);
          } catch (error) {
            expect(error).toMatchObject({ code: "budget_exceeded" });
            refused++;
          }
        }
      }),
    ),
  );
  done.abort();
  expect(await watch).toBeGreaterThan(0);
  for (const { processId } of processes) await releaseBudgets(ai.db, processId);
  expect(await budgetOf(organizationId)).toStrictEqual({ limit_nanos: limit, settled_nanos: spent, granted_nanos: 0n });
  expect(refused).toBeGreaterThan(0);
  expect(spent).toBeGreaterThan((limit * 3n) / 4n);
});

test("under traffic the usual call asks nobody: what was granted is spent while PostgreSQL is away, then no more", async () => {
  const organizationId = await makeBudget(10n ** 9n);
  const own = openDatabase(database.ai, { applicationName: "budgets-away" });
  const { budgets } = openBudgets(own.db);
  for (let i = 0; i < 20; i++) (await budgets.reserve(wanted(organizationId, 100n))).settle(100n);
  await own.close();
  const { granted_nanos } = await budgetOf(organizationId);
  let served = 0;
  await expect(
    (async () => {
      for (; served < 10_000; served++) (await budgets.reserve(wanted(organizationId, 100n))).settle(100n);
    })(),
  ).rejects.toThrow("pool");
  expect(served).toBeGreaterThan(5);
  expect(BigInt(served + 20) * 100n).toBe(granted_nanos);
});

test("an idle block goes back by itself, a running call's part stays", async () => {
  const organizationId = await makeBudget(10_000n);
  const { budgets } = openBudgets();
  const first = await budgets.reserve(wanted(organizationId, 1000n));
  const second = await budgets.reserve(wanted(organizationId, 1000n));
  second.settle(0n);
  await waitFor(async () => (await budgetOf(organizationId)).granted_nanos === 1000n);
  first.settle(0n);
  first.settle(0n);
  await waitFor(async () => (await budgetOf(organizationId)).granted_nanos === 0n);
});

test("near the limit a block is no larger than a call", async () => {
  const organizationId = await makeBudget(1000n);
  const { budgets } = openBudgets();
  const taken = [];
  for (let i = 0; i < 10; i++) taken.push(await budgets.reserve(wanted(organizationId, 100n)));
  await expect(budgets.reserve(wanted(organizationId, 1n))).rejects.toMatchObject({
    code: "budget_exceeded",
    extensions: { limit_nanos: "1000", granted_nanos: "1000", needed_nanos: "1" },
  });
  taken[0]?.settle(50n);
  (await budgets.reserve(wanted(organizationId, 50n))).settle(50n);
});

test("what an overrun has eaten from another call's part is spent by nobody again", async () => {
  const organizationId = await makeBudget(100n);
  const { budgets, processId } = openBudgets();
  const settle = (reservation: Reservation, cost: bigint) => {
    const uncovered = reservation.settle(cost);
    return settleRows({ db: ai.db, audit, processId, setAside: () => expect.unreachable() }, [
      { ...rowOf(organizationId, reservation.accountIds, cost), ...(uncovered ? { uncovered } : {}) },
    ]);
  };
  const first = await budgets.reserve(wanted(organizationId, 50n));
  const second = await budgets.reserve(wanted(organizationId, 50n));
  await settle(first, 80n);
  await settle(second, 10n);
  // 90 of 100 are spent.
  await expect(budgets.reserve(wanted(organizationId, 11n))).rejects.toMatchObject({ code: "budget_exceeded" });
  await settle(await budgets.reserve(wanted(organizationId, 10n)), 10n);
  await waitFor(async () => (await budgetOf(organizationId)).granted_nanos === 0n);
  expect(await budgetOf(organizationId)).toMatchObject({ settled_nanos: 100n });
});

test("an overrun does not eat what was granted after it", async () => {
  const organizationId = await makeBudget(1000n);
  const { budgets, processId } = openBudgets();
  const settled = { db: ai.db, audit, processId, setAside: () => expect.unreachable() };
  const first = await budgets.reserve(wanted(organizationId, 50n));
  const uncovered = first.settle(80n)!;
  expect(uncovered).toEqual(["30"]);
  const second = await budgets.reserve(wanted(organizationId, 100n));
  const { granted_nanos: before } = await budgetOf(organizationId);
  await settleRows(settled, [{ ...rowOf(organizationId, first.accountIds, 80n), reserved: 50n, uncovered }]);
  // What the second call holds is still set aside for it.
  expect(await budgetOf(organizationId)).toMatchObject({ settled_nanos: 80n, granted_nanos: before - 50n });
  second.settle(100n);
  await settleRows(settled, [rowOf(organizationId, second.accountIds, 100n)]);
  await waitFor(async () => (await budgetOf(organizationId)).granted_nanos === 0n);
  expect(await budgetOf(organizationId)).toMatchObject({ settled_nanos: 180n });
});

test("a busy account is refilled before a call has to wait for it", async () => {
  const organizationId = await makeBudget(10n ** 9n);
  const own = openDatabase(database.ai, { applicationName: "budgets-ahead" });
  const { budgets } = openBudgets(own.db);
  const waits: number[] = [];
  for (let i = 0; i < 600; i++) {
    let isWaiting = true;
    const reserving = Promise.resolve(budgets.reserve(wanted(organizationId, 100n))).finally(() => (isWaiting = false));
    // What needs nobody is there before the next turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    if (isWaiting) waits.push(i);
    (await reserving).settle(100n);
    await delay(1);
  }
  // The first, and those that found a block of theirs too small while it grew.
  expect(waits.length).toBeLessThan(12);
  expect(waits.filter((at) => at > 100)).toEqual([]);
  await own.close();
});

test("after a change of its limit nothing of the old block is spent", async () => {
  const organizationId = await makeBudget(10n ** 9n);
  const { budgets } = openBudgets();
  for (let i = 0; i < 10; i++) (await budgets.reserve(wanted(organizationId, 100n))).settle(0n);
  await owner.db.updateTable("budgets").set({ limit_nanos: 0n }).where("organization_id", "=", organizationId).execute();
  await budgets.release(organizationId);
  await expect(budgets.reserve(wanted(organizationId, 1n))).rejects.toMatchObject({ code: "budget_exceeded" });
  expect(await budgetOf(organizationId)).toMatchObject({ granted_nanos: 0n });
});
