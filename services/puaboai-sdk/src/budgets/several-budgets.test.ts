import { openAuditWriter } from "@nexus/audit";
import { type Clock, newId, newUuid, systemClock, toId } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createTestDatabase, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { settleRows } from "../usage/settle-rows.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import type { Payer } from "./budget.ts";
import { type NewBudget, findBudget } from "./budgets.store.ts";
import { Budgets, type Reservation } from "./budgets.ts";
import { releaseBudgets } from "./release-budgets.ts";
import type { Settled } from "./settle-budgets.ts";

let database: TestDatabase;
let owner: Database;
let ai: Database;
const opened: Budgets[] = [];
const audit = openAuditWriter({ clock: systemClock, macKey: "k".repeat(32) });
const none: readonly string[] = [];
const day = 86_400_000;

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
  ai = openDatabase(database.ai, { applicationName: "several-budgets-test" });
});
afterAll(async () => {
  await ai.close();
  await database.drop();
});
afterEach(() => {
  for (const budgets of opened.splice(0)) budgets.close();
});

function open(clock: Clock = systemClock) {
  const processId = newUuid();
  const budgets = new Budgets({ db: ai.db, audit, clock, logger: { warn: () => {} }, processId, defaultBudget: undefined });
  opened.push(budgets);
  const changes: Settled["changes"][number][] = [];
  /** The call has ended and its row is in PostgreSQL. */
  const settle = async (reservation: Reservation, cost: bigint, outcome: UsageRow["outcome"] = "ok"): Promise<void> => {
    const uncovered = reservation.settle(cost);
    const onSettled = (settled: Settled) => {
      budgets.hear(settled.figures);
      changes.push(...settled.changes);
    };
    await settleRows({ db: ai.db, audit, processId, setAside: () => expect.unreachable(), onSettled }, [
      { ...rowOf(reservation, cost, outcome), ...(uncovered ? { uncovered } : {}) },
    ]);
  };
  return { budgets, processId, settle, changes };
}

async function makeOrganization(limit = 10n ** 9n): Promise<string> {
  const organizationId = newUuid();
  await owner.db.insertInto("organizations").values({ id: organizationId, name: "o" }).execute();
  await make(organizationId, { level: "organization", subject: "", limit });
  return organizationId;
}

async function make(organizationId: string, budget: Partial<NewBudget> & Pick<NewBudget, "level" | "subject">): Promise<string> {
  const { level, subject, limit = 10n ** 9n, period = "total", enforcement = "hard" } = budget;
  const id = newUuid();
  const row = { id, organization_id: organizationId, level, subject, period, limit_nanos: limit, enforcement };
  await owner.db.insertInto("budgets").values(row).execute();
  return id;
}

const accountsOf = (budgetId: string) =>
  owner.db.selectFrom("budget_accounts").selectAll().where("budget_id", "=", budgetId).orderBy("subject").execute();
const setAsideOf = async (budgetId: string) =>
  (await accountsOf(budgetId)).reduce((sum, { granted_nanos: granted }) => sum + granted, 0n);
const spentOf = async (budgetId: string) =>
  (await accountsOf(budgetId)).reduce((sum, { settled_nanos: settled }) => sum + settled, 0n);

function wanted(organizationId: string, amount: bigint, { model = "m", ...facts }: Partial<Payer> & { model?: string } = {}) {
  const payer: Payer = { organizationId, userId: null, keyId: null, tags: none, budgetIds: none, session: null, ...facts };
  return { payer, model, amount, requestId: newId("request") };
}

function rowOf({ accountIds, decision }: Reservation, cost: bigint, outcome: UsageRow["outcome"]): UsageRow {
  return {
    occurredAt: Date.now(),
    requestId: newUuid(),
    attempt: 1,
    organizationId: newUuid(),
    keyId: null,
    userId: null,
    endpoint: "chat.completions",
    model: "m",
    provider: "p",
    upstreamModel: "u",
    stream: false,
    outcome,
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
    budgetDecision: decision,
    reserved: cost,
    price: null,
    durationMs: 1,
    firstByteMs: null,
    clientRequestId: null,
    traceId: null,
  };
}

test("a call is charged to every budget that applies to it and to no other", async () => {
  const organizationId = await makeOrganization();
  const [userId, keyId] = [newUuid(), newUuid()];
  const pool = await make(organizationId, { level: "pool", subject: "research" });
  const charged = {
    user: await make(organizationId, { level: "user", subject: userId }),
    eachKey: await make(organizationId, { level: "key", subject: "*" }),
    model: await make(organizationId, { level: "model", subject: "dear", period: "day" }),
    tag: await make(organizationId, { level: "tag", subject: "batch", period: "week" }),
    session: await make(organizationId, { level: "session", subject: "*" }),
    soft: await make(organizationId, { level: "organization", subject: "", period: "month", enforcement: "soft" }),
    pool,
  };
  const others = [
    await make(organizationId, { level: "user", subject: newUuid() }),
    await make(organizationId, { level: "model", subject: "cheap" }),
    await make(organizationId, { level: "tag", subject: "other" }),
    await make(organizationId, { level: "pool", subject: "another" }),
    await make(await makeOrganization(), { level: "user", subject: userId }),
  ];
  const { budgets, settle } = open();
  const facts = { userId, keyId, model: "dear", tags: ["batch", "night"], budgetIds: [pool], session: "s-1" };
  await settle(await budgets.reserve(wanted(organizationId, 100n, facts)), 70n);
  for (const [name, id] of Object.entries(charged)) expect([name, await spentOf(id)]).toEqual([name, 70n]);
  for (const id of others) expect(await accountsOf(id)).toEqual([]);
  expect(await accountsOf(charged.eachKey)).toMatchObject([{ subject: keyId }]);
  expect(await accountsOf(charged.session)).toMatchObject([{ subject: "s-1" }]);
});

test("the budget that does not suffice is named, with its window, and nothing is set aside at the others", async () => {
  const organizationId = await makeOrganization();
  const wide = await make(organizationId, { level: "model", subject: "m" });
  const narrow = await make(organizationId, { level: "tag", subject: "batch", period: "day", limit: 150n });
  const { budgets, settle } = open();
  const batch = { tags: ["batch"] };
  await settle(await budgets.reserve(wanted(organizationId, 100n, batch)), 100n);
  await waitFor(async () => (await setAsideOf(wide)) === 0n);
  const refusal: unknown = await Promise.resolve(budgets.reserve(wanted(organizationId, 51n, batch))).catch(
    (error: unknown) => error,
  );
  expect(refusal).toMatchObject({
    code: "budget_exceeded",
    extensions: {
      budget_id: `bud_${narrow}`,
      level: "tag",
      subject: "batch",
      period: "day",
      limit_nanos: "150",
      settled_nanos: "100",
      granted_nanos: "0",
      needed_nanos: "51",
      available_nanos: "50",
      frozen_at: null,
    },
  });
  const { resets_at: resetsAt } = (refusal as { extensions: { resets_at: string } }).extensions;
  expect(Date.parse(resetsAt) % day).toBe(0);
  expect(Date.parse(resetsAt) - Date.now()).toBeLessThanOrEqual(day);
  expect([await setAsideOf(wide), await setAsideOf(narrow)]).toEqual([0n, 0n]);
  // Who is not of that tag goes on.
  (await budgets.reserve(wanted(organizationId, 51n))).settle(0n);
});

test("a window begins with nothing spent, and a call that runs across its end settles where it was set aside", async () => {
  const organizationId = await makeOrganization();
  const daily = await make(organizationId, { level: "organization", subject: "", period: "day", limit: 100n });
  let ahead = 0;
  const clock: Clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + ahead };
  const { budgets, settle } = open(clock);
  const running = await budgets.reserve(wanted(organizationId, 60n));
  await expect(budgets.reserve(wanted(organizationId, 60n))).rejects.toMatchObject({ code: "budget_exceeded" });
  // Midnight: what was today is yesterday.
  await sql`UPDATE budget_accounts SET window_start = window_start - interval '1 day', window_end = window_end - interval '1 day'
    WHERE budget_id = ${daily}`.execute(owner.db);
  ahead = day;
  const next = await budgets.reserve(wanted(organizationId, 60n));
  await settle(running, 50n);
  await settle(next, 40n);
  const windows = await owner.db
    .selectFrom("budget_accounts")
    .selectAll()
    .where("budget_id", "=", daily)
    .orderBy("window_start")
    .execute();
  expect(windows.map(({ settled_nanos: settled }) => settled)).toEqual([50n, 40n]);
  await waitFor(async () => (await setAsideOf(daily)) === 0n);
});

test("a clock that is stepped opens no window early", async () => {
  const organizationId = await makeOrganization();
  await make(organizationId, { level: "organization", subject: "", period: "day", limit: 100n });
  let ahead = 0;
  const clock: Clock = { now: () => systemClock.now() + ahead, monotonic: () => systemClock.monotonic() };
  const { budgets, settle } = open(clock);
  await settle(await budgets.reserve(wanted(organizationId, 90n)), 90n);
  ahead = 2 * day;
  await expect(budgets.reserve(wanted(organizationId, 20n))).rejects.toMatchObject({ code: "budget_exceeded" });
});

test("each session has a budget of its own", async () => {
  const organizationId = await makeOrganization();
  await make(organizationId, { level: "session", subject: "*", limit: 100n });
  const { budgets, settle } = open();
  await settle(await budgets.reserve(wanted(organizationId, 90n, { session: "one" })), 90n);
  await expect(budgets.reserve(wanted(organizationId, 20n, { session: "one" }))).rejects.toMatchObject({
    extensions: { level: "session", subject: "one" },
  });
  await settle(await budgets.reserve(wanted(organizationId, 90n, { session: "two" })), 90n);
  await settle(await budgets.reserve(wanted(organizationId, 500n)), 500n);
});

test("a soft budget refuses nothing, warns once most of it is spent, and each told share is noted once", async () => {
  const organizationId = await makeOrganization();
  const soft = await make(organizationId, {
    level: "organization",
    subject: "",
    period: "month",
    limit: 100n,
    enforcement: "soft",
  });
  const { budgets, settle } = open();
  const first = await budgets.reserve(wanted(organizationId, 60n));
  expect(first.warning).toBeUndefined();
  await settle(first, 60n);
  expect((await budgets.reserve(wanted(organizationId, 1n))).warning).toBeUndefined();
  await settle(await budgets.reserve(wanted(organizationId, 90n)), 90n);
  const last = await budgets.reserve(wanted(organizationId, 90n));
  expect(last.warning).toBe("level=organization; period=month; spent_percent=150");
  await settle(last, 90n);
  const alerts = await owner.db
    .selectFrom("budget_alerts")
    .innerJoin("budget_accounts", "budget_accounts.id", "budget_alerts.account_id")
    .select(["percent", "budget_alerts.settled_nanos"])
    .where("budget_id", "=", soft)
    .orderBy("percent")
    .execute();
  expect(alerts).toEqual([
    { percent: 50, settled_nanos: 60n },
    { percent: 80, settled_nanos: 150n },
    { percent: 100, settled_nanos: 150n },
  ]);
});

test("an overrun freezes the hard budgets of the call until they are released", async () => {
  const organizationId = await makeOrganization(1000n);
  const soft = await make(organizationId, { level: "organization", subject: "", period: "month", enforcement: "soft" });
  const { budgets, settle, changes } = open();
  const reservation = await budgets.reserve(wanted(organizationId, 50n));
  await settle(reservation, 80n, "overrun");
  expect(changes).toMatchObject([{ kind: "budget", organizationId }]);
  const frozen = changes[0]!.subjectId;
  budgets.changed(organizationId);
  await expect(budgets.reserve(wanted(organizationId, 1n))).rejects.toMatchObject({
    code: "budget_exceeded",
    extensions: { budget_id: `bud_${frozen}`, frozen_at: expect.any(String) },
  });
  expect((await findBudget(owner.db, soft))?.frozenAt).toBeNull();
  // Another process, which has heard nothing, gets no block either.
  await expect(open().budgets.reserve(wanted(organizationId, 1n))).rejects.toMatchObject({ code: "budget_exceeded" });
  await owner.db.updateTable("budgets").set({ frozen_at: null }).where("id", "=", frozen).execute();
  budgets.changed(organizationId);
  await settle(await budgets.reserve(wanted(organizationId, 1n)), 1n);
  expect(await spentOf(frozen)).toBe(81n);
});

/** The organization's own budget as it is now, and nothing that is set aside is lost or counted twice in the end. */
const budgetIdOf = async (organizationId: string) =>
  (await owner.db.selectFrom("budgets").select("id").where("organization_id", "=", organizationId).executeTakeFirstOrThrow()).id;

test.each([
  ["soft", "hard"],
  ["hard", "soft"],
] as const)("what a call holds is what it took, although its budget was %s then and is %s now", async (before, after) => {
  const organizationId = await makeOrganization(1000n);
  const id = await budgetIdOf(organizationId);
  const set = (enforcement: "soft" | "hard") =>
    owner.db.updateTable("budgets").set({ enforcement }).where("id", "=", id).execute();
  const { budgets, settle } = open();
  await set(before);
  const [whole, part] = [
    await budgets.reserve(wanted(organizationId, 500n)),
    await budgets.reserve(wanted(organizationId, 400n)),
  ];
  await set(after);
  budgets.changed(organizationId);
  const next = await budgets.reserve(wanted(organizationId, 100n));
  await settle(whole, 0n);
  await settle(part, 300n);
  // What this process thinks is its own is what PostgreSQL has granted: a hard call never spends more.
  await set("hard");
  budgets.changed(organizationId);
  const last = await budgets.reserve(wanted(organizationId, 600n));
  expect(await setAsideOf(id)).toBeGreaterThanOrEqual(after === "hard" ? 700n : 600n);
  expect((await setAsideOf(id)) + (await spentOf(id))).toBeLessThanOrEqual(1000n);
  await settle(next, 0n);
  await settle(last, 10n);
  await waitFor(async () => (await setAsideOf(id)) === 0n);
  expect(await spentOf(id)).toBe(310n);
});

test("what ends after an overrun takes from nobody what was granted since", async () => {
  const organizationId = await makeOrganization(1000n);
  const id = await budgetIdOf(organizationId);
  const { budgets, processId } = open();
  const [first, second] = [
    await budgets.reserve(wanted(organizationId, 100n)),
    await budgets.reserve(wanted(organizationId, 100n)),
  ];
  const uncovered = [first.settle(500n), second.settle(30n)];
  const third = await budgets.reserve(wanted(organizationId, 100n));
  const rows = [rowOf(first, 500n, "overrun"), rowOf(second, 30n, "ok")].map((row, at) => ({
    ...row,
    uncovered: uncovered[at]!,
  }));
  // The same row twice in one batch is one.
  await settleRows({ db: ai.db, audit, processId, setAside: () => expect.unreachable() }, [...rows, rows[1]!]);
  expect(await setAsideOf(id)).toBeGreaterThanOrEqual(100n);
  third.settle(0n);
  await waitFor(async () => (await setAsideOf(id)) === 0n);
  expect(await spentOf(id)).toBe(530n);
});

test("a window that this process thinks is over and PostgreSQL does not is the same account", async () => {
  const organizationId = await makeOrganization();
  const daily = await make(organizationId, { level: "organization", subject: "", period: "day", limit: 1000n });
  let ahead = 0;
  const clock: Clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + ahead };
  const { budgets, settle } = open(clock);
  const [first, second] = [
    await budgets.reserve(wanted(organizationId, 100n)),
    await budgets.reserve(wanted(organizationId, 200n)),
  ];
  ahead = 25 * 3_600_000;
  const third = await budgets.reserve(wanted(organizationId, 50n));
  await settle(second, 0n);
  await settle(first, 10n);
  await waitFor(async () => (await setAsideOf(daily)) === 50n);
  await settle(third, 0n);
  await waitFor(async () => (await setAsideOf(daily)) === 0n);
  expect(await spentOf(daily)).toBe(10n);
});

test("a session that is named null is not the same as none", async () => {
  const organizationId = await makeOrganization();
  await make(organizationId, { level: "session", subject: "*", limit: 100n });
  const { budgets } = open();
  expect((await budgets.reserve(wanted(organizationId, 1n, { session: "null" }))).accountIds).toHaveLength(2);
  expect((await budgets.reserve(wanted(organizationId, 1n))).accountIds).toHaveLength(1);
});

test("a key that is charged to a budget which is not there may spend nothing", async () => {
  const organizationId = await makeOrganization();
  const { budgets } = open();
  const gone = newUuid();
  await expect(budgets.reserve(wanted(organizationId, 1n, { budgetIds: [gone] }))).rejects.toMatchObject({
    code: "budget_exceeded",
    extensions: {
      budget_id: `bud_${gone}`,
      level: null,
      subject: null,
      period: null,
      limit_nanos: "0",
      settled_nanos: "0",
      granted_nanos: "0",
      needed_nanos: "1",
      available_nanos: "0",
      resets_at: null,
      frozen_at: null,
    },
  });
});

test.each(["*", "their own"])("a person's budget that does not suffice names them as the API does: %s", async (whose) => {
  const organizationId = await makeOrganization();
  const userId = newUuid();
  await make(organizationId, { level: "user", subject: whose === "*" ? "*" : userId, limit: 10n });
  const { budgets } = open();
  await expect(budgets.reserve(wanted(organizationId, 11n, { userId }))).rejects.toMatchObject({
    extensions: { level: "user", subject: toId("user", userId), available_nanos: "10" },
  });
});

test("whatever the calls and processes, no account passes its limit at any instant, and in the end each has settled its calls", async () => {
  const organizationId = await makeOrganization(60_000n);
  const tags = ["a", "b", "c"];
  const limits = new Map<string, bigint>();
  for (const [index, tag] of tags.entries())
    limits.set(
      await make(organizationId, { level: "tag", subject: tag, limit: BigInt(9000 * (index + 1)) }),
      BigInt(9000 * (index + 1)),
    );
  limits.set(await make(organizationId, { level: "session", subject: "*", limit: 5000n }), 5000n);
  limits.set(await make(organizationId, { level: "model", subject: "dear", period: "day", limit: 20_000n }), 20_000n);
  const spent = new Map<string, bigint>();
  const processes = [open(), open(), open()];
  const done = new AbortController();
  const watch = (async () => {
    let looks = 0;
    for (; !done.signal.aborted; looks++) {
      for (const [budgetId, limit] of limits) {
        for (const seen of await accountsOf(budgetId)) expect(seen.settled_nanos + seen.granted_nanos).toBeLessThanOrEqual(limit);
      }
    }
    return looks;
  })();
  let refused = 0;
  await Promise.all(
    processes.flatMap(({ budgets, settle }, process) =>
      Array.from({ length: 8 }, async (_, worker) => {
        for (let i = 0; i < 20; i++) {
          const seed = i * 7919 + worker * 131 + process * 17;
          const amount = BigInt(50 + (seed % 400));
          const facts = {
            tags: tags.filter((_, bit) => (seed >> bit) % 2 === 1),
            session: `s${seed % 7}`,
            model: seed % 3 ? "m" : "dear",
          };
          try {
            const reservation = await budgets.reserve(wanted(organizationId, amount, facts));
            const cost = i % 5 === 0 ? 0n : amount - BigInt(i);
            for (const id of reservation.accountIds) spent.set(id, (spent.get(id) ?? 0n) + cost);
            await settle(reservation, cost);
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
  expect(refused).toBeGreaterThan(0);
  for (const { processId } of processes) await releaseBudgets(ai.db, processId);
  const accounts = await owner.db
    .selectFrom("budget_accounts")
    .selectAll()
    .where("id", "in", [...spent.keys()])
    .execute();
  for (const account of accounts)
    expect([account.id, account.settled_nanos, account.granted_nanos]).toEqual([account.id, spent.get(account.id), 0n]);
  const booked = await sql<{ id: string; cost: bigint }>`SELECT id, sum(cost_nanos)::bigint AS cost
    FROM usage_events CROSS JOIN unnest(account_ids) AS id WHERE id = ANY(${[...spent.keys()]}::uuid[]) GROUP BY id`.execute(
    owner.db,
  );
  expect(new Map(booked.rows.map(({ id, cost }) => [id, cost]))).toEqual(spent);
});
