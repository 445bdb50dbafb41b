import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAuditWriter } from "@nexus/audit";
import { newUuid, systemClock } from "@nexus/core";
import { type Database, type Db, openDatabase } from "@nexus/db";
import { createTestDatabase, type TestDatabase, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openAccounts } from "../budgets/accounts.store.ts";
import { findBudgets } from "../budgets/budgets.store.ts";
import { fenceGrants, grantBlocks } from "../budgets/grants.store.ts";
import { releaseBudgets } from "../budgets/release-budgets.ts";
import { Journal, readJournal } from "./journal.ts";
import { replayJournals } from "./replay-journals.ts";
import { isOwnerAlive, ownSpool, type SpoolOwner } from "./spool-owner.ts";
import { UsageRecorder } from "./usage-recorder.ts";
import type { UsageRow } from "./usage-row.ts";

const audit = openAuditWriter({ clock: systemClock, macKey: "k".repeat(32) });

let database: TestDatabase;
let owner: Database;
let ai: Database;
let directory: string;
let processId: string;
let journal: Journal;
let spool: SpoolOwner;
let recorder: UsageRecorder;
let aside: UsageRow[];
const logger = { info: () => {}, warn: () => {}, error: () => {} };

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
  ai = openDatabase(database.ai, { applicationName: "usage-test" });
});
afterAll(async () => {
  await ai.close();
  await database.drop();
});

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "nexus-spool-"));
  await open(ai.db);
});
afterEach(async () => {
  await recorder.close();
  await spool.close();
  rmSync(directory, { recursive: true });
});

async function open(db: Db): Promise<void> {
  processId = newUuid();
  aside = [];
  spool = await ownSpool(directory, processId);
  journal = new Journal({ directory, processId, segmentBytes: 4096 });
  recorder = new UsageRecorder({
    db,
    audit,
    processId,
    journal,
    logger,
    maxJournalBytes: 1 << 20,
    setAside: (r) => void aside.push(r),
  });
}

/** As after kill -9: nothing is flushed, the files stay, the socket no longer answers. */
async function die(): Promise<string> {
  const files = readdirSync(directory)
    .filter((name) => name.endsWith(".jsonl"))
    .map((name) => [name, readFileSync(join(directory, name))] as const);
  const dead = processId;
  await spool.close();
  for (const [name, content] of files) writeFileSync(join(directory, name), content);
  return dead;
}

function row(change: Partial<UsageRow> = {}): UsageRow {
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
    outcome: "ok",
    httpStatus: 200,
    errorCode: null,
    inputTokens: 1,
    outputTokens: 2,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
    usageSource: "provider",
    cost: 0n,
    session: null,
    tags: [],
    accountIds: [],
    budgetDecision: null,
    reserved: 0n,
    price: null,
    durationMs: 1,
    firstByteMs: null,
    clientRequestId: null,
    traceId: null,
    ...change,
  };
}

async function makeBudget(limit: bigint): Promise<string> {
  const organizationId = newUuid();
  await owner.db.insertInto("organizations").values({ id: organizationId, name: "o" }).execute();
  await owner.db
    .insertInto("budgets")
    .values({ id: newUuid(), organization_id: organizationId, level: "organization", limit_nanos: limit })
    .execute();
  return organizationId;
}
const fences = new Map<string, ReturnType<typeof fenceGrants>>();
const reserve = async (
  db: Db,
  { processId, organizationId, amount }: { processId: string; organizationId: string; amount: bigint },
): Promise<string | undefined> => {
  const [budget] = await findBudgets(db, organizationId);
  const [account] = await openAccounts(db, [{ budgetId: budget!.id, subject: "" }]);
  const accountId = account!.id;
  if (!fences.has(accountId)) fences.set(accountId, fenceGrants(db, processId, [accountId]));
  const [held] = await fences.get(accountId)!;
  const [grant] = await grantBlocks(db, processId, [{ accountId, fence: held!.fence, needed: amount, wish: amount }]);
  return grant!.isGranted ? accountId : undefined;
};
const budgetOf = (organizationId: string) =>
  owner.db
    .selectFrom("budgets")
    .innerJoin("budget_accounts", "budget_accounts.budget_id", "budgets.id")
    .select(["budget_accounts.id", "settled_nanos", "granted_nanos"])
    .where("organization_id", "=", organizationId)
    .executeTakeFirstOrThrow();
const rowsOf = (organizationId: string) =>
  owner.db.selectFrom("usage_events").selectAll().where("organization_id", "=", organizationId).orderBy("request_id").execute();
const replay = (db: Db = ai.db) =>
  replayJournals({ db, audit, directory, processId, logger, setAside: (r) => void aside.push(r) });

test("a finished call is in PostgreSQL within the group commit, and its journal file is reused", async () => {
  const call = row();
  await recorder.begin({ ...call, outcome: "crash" });
  recorder.finish(call);
  await waitFor(async () => (await rowsOf(call.organizationId)).length === 1);
  expect(recorder.waiting).toBe(0);
  expect(readdirSync(directory).filter((name) => name.endsWith(".jsonl"))).toHaveLength(1);
});

test("a call settles what it cost, once, and its process keeps the rest until it gives it back", async () => {
  const organizationId = await makeBudget(1000n);
  const accountId = (await reserve(ai.db, { processId, organizationId, amount: 300n }))!;
  expect(await reserve(ai.db, { processId, organizationId, amount: 701n })).toBeUndefined();
  const call = row({ organizationId, accountIds: [accountId], reserved: 300n, cost: 120n });
  recorder.finish(call);
  recorder.finish(call);
  await recorder.flush();
  expect(await budgetOf(organizationId)).toMatchObject({ settled_nanos: 120n, granted_nanos: 180n });
  await releaseBudgets(ai.db, processId);
  expect(await budgetOf(organizationId)).toMatchObject({ settled_nanos: 120n, granted_nanos: 0n });
  expect(await rowsOf(organizationId)).toHaveLength(1);
});

test("reservations running at once never pass the limit", async () => {
  const organizationId = await makeBudget(1000n);
  const taken = await Promise.all(Array.from({ length: 40 }, () => reserve(ai.db, { processId, organizationId, amount: 100n })));
  expect(taken.filter((id) => id !== undefined)).toHaveLength(10);
  expect(await budgetOf(organizationId)).toMatchObject({ granted_nanos: 1000n });
});

test("what a killed process had begun is charged in full, what it had finished as it was, and the rest is given back", async () => {
  const organizationId = await makeBudget(1_000_000n);
  const accountId = (await reserve(ai.db, { processId, organizationId, amount: 600n }))!;
  const finished = row({ organizationId, accountIds: [accountId], reserved: 100n, cost: 40n });
  const begun = row({
    organizationId,
    accountIds: [accountId],
    reserved: 200n,
    cost: 200n,
    outcome: "crash",
    usageSource: "bound",
  });
  // A third reservation was granted, and the process died before it wrote down what for.
  journal.append({ ...finished, outcome: "crash", cost: 100n });
  journal.append(begun);
  journal.append(finished);
  const dead = await die();
  writeFileSync(join(directory, `${dead}.9.jsonl`), '{"torn":');
  processId = newUuid();
  await Promise.all([replay(), replay()]);
  expect(await budgetOf(organizationId)).toMatchObject({ settled_nanos: 240n, granted_nanos: 0n });
  expect(Object.fromEntries((await rowsOf(organizationId)).map((r) => [r.outcome, r.cost_nanos]))).toStrictEqual({
    crash: 200n,
    ok: 40n,
  });
  expect(readdirSync(directory)).toStrictEqual([]);
  await open(ai.db);
});

test("a replayed row tells the name that the client asked for and what failed, and that of an earlier version neither", async () => {
  const organizationId = newUuid();
  const told = row({ organizationId, requestedModel: "smart", failure: "overloaded", upstreamStatus: 529 });
  const { requestedModel: _, ...earlier } = row({ organizationId });
  journal.append(told);
  journal.append(earlier);
  await die();
  processId = newUuid();
  expect(await replay()).toStrictEqual({ processes: 1, rows: 2 });
  const stored = (await rowsOf(organizationId)).map((r) => [r.request_id, r.requested_model, r.failure, r.upstream_status]);
  expect(stored).toHaveLength(2);
  expect(stored).toEqual(
    expect.arrayContaining([
      [told.requestId, "smart", "overloaded", 529],
      [earlier.requestId, null, null, null],
    ]),
  );
  expect(aside).toStrictEqual([]);
  await open(ai.db);
});

test("the journal of a living process is left alone", async () => {
  const call = row({ outcome: "crash" });
  journal.append(call);
  const living = processId;
  processId = newUuid();
  expect(await replay()).toStrictEqual({ processes: 0, rows: 0 });
  processId = living;
  expect(readJournal(directory, living).rows).toHaveLength(1);
});

test("with PostgreSQL away calls go on, the rows wait, and each comes once when it is back", async () => {
  await recorder.close();
  await spool.close();
  const away = openDatabase({ ...database.ai, port: 1 }, { applicationName: "away", connectTimeoutMs: 200 });
  await open(away.db);
  const organizationId = newUuid();
  for (let i = 0; i < 50; i++) {
    const call = row({ organizationId });
    void recorder.begin({ ...call, outcome: "crash" });
    recorder.finish(call);
  }
  await expect(recorder.flush()).rejects.toThrow(/ECONNREFUSED|connect/);
  expect(recorder.waiting).toBe(50);
  await recorder.close();
  await away.close();
  journal.close();
  const dead = processId;
  await spool.close();
  await open(ai.db);
  expect(readJournal(directory, dead).rows).toHaveLength(50);
  expect(await replay()).toMatchObject({ rows: 50 });
  expect(await replay()).toStrictEqual({ processes: 0, rows: 0 });
  expect(await rowsOf(organizationId)).toHaveLength(50);
});

test("calls that begin at once are all on the file when each goes on, and none goes on when they cannot be written", async () => {
  const begun = Array.from({ length: 20 }, () => row({ outcome: "crash" }));
  await Promise.all(begun.map((one) => recorder.begin(one)));
  expect(readJournal(directory, processId).rows).toEqual(expect.arrayContaining(begun));
  // The file is full, and the next one cannot be made.
  renameSync(directory, `${directory}-away`);
  const lost = await Promise.allSettled(begun.map((one) => recorder.begin({ ...one, requestId: newUuid() })));
  renameSync(`${directory}-away`, directory);
  expect(lost.map((one) => one.status === "rejected" && (one.reason as { code: string }).code)).toEqual(
    begun.map(() => "unavailable"),
  );
  expect(journal.fault).toMatchObject({ code: "ENOENT" });
  await recorder.begin(row());
  expect(journal.fault).toBeUndefined();
});

test("calls that end at once are on the file when each goes on, and those that cannot be written go on all the same", async () => {
  const organizationId = newUuid();
  const calls = Array.from({ length: 20 }, () => row({ organizationId }));
  await Promise.all(calls.map((one) => recorder.begin({ ...one, outcome: "crash" })));
  await Promise.all(calls.map((one) => recorder.finishSoon(one)));
  expect(readJournal(directory, processId).rows).toEqual(expect.arrayContaining(calls));
  // The file is full, and the next one cannot be made.
  renameSync(directory, `${directory}-away`);
  await Promise.all(calls.map((one) => recorder.finishSoon({ ...one, requestId: newUuid() })));
  renameSync(`${directory}-away`, directory);
  expect(journal.fault).toMatchObject({ code: "ENOENT" });
  await recorder.flush();
  expect(await rowsOf(organizationId)).toHaveLength(2 * calls.length);
  expect(journal.size).toBe(0);
});

test("a full journal begins no call", async () => {
  await recorder.close();
  recorder = new UsageRecorder({ db: ai.db, audit, processId, journal, logger, maxJournalBytes: 2000, setAside: () => {} });
  expect(() => {
    for (let i = 0; i < 10; i++) void recorder.begin(row({ outcome: "crash" }));
  }).toThrow(expect.objectContaining({ code: "unavailable" }));
});

test("a row that PostgreSQL will never take does not keep the others waiting", async () => {
  const organizationId = newUuid();
  const year = 365 * 86_400_000;
  const rows = [
    row({ organizationId, occurredAt: Date.now() - year }),
    row({ organizationId, occurredAt: Date.now() - 5 * year }),
    row({ organizationId, occurredAt: Date.now() + year }),
    row({ organizationId: "no uuid" }),
    row({ organizationId }),
  ];
  for (const one of rows) recorder.finish(one);
  await recorder.flush();
  expect(await rowsOf(organizationId)).toHaveLength(2);
  expect(aside).toHaveLength(3);
  expect(recorder.waiting).toBe(0);
});

test("a long call does not pin the files of the calls around it", async () => {
  const long = row({ outcome: "crash" });
  await recorder.begin(long);
  for (let i = 0; i < 200; i++) {
    recorder.finish(row());
    if (i % 20 === 19) await recorder.flush();
  }
  expect(journal.size).toBeLessThan(20_000);
  expect(readJournal(directory, processId).rows).toContainEqual(long);
});

test("a journal in a deep folder has an owner all the same", async () => {
  const deep = join(directory, "d".repeat(120));
  mkdirSync(deep);
  const id = newUuid();
  const deepOwner = await ownSpool(deep, id);
  expect(await isOwnerAlive(deep, id)).toBe(true);
  await deepOwner.close();
  expect(await isOwnerAlive(deep, id)).toBe(false);
});

test("the sums of the rows are what the budgets say after any number of mixed batches", async () => {
  const organizations = await Promise.all([makeBudget(10n ** 12n), makeBudget(10n ** 12n), makeBudget(10n ** 12n)]);
  await Promise.all(
    Array.from({ length: 90 }, async (_, i) => {
      const organizationId = organizations[i % 3]!;
      const amount = BigInt(i * 7 + 1);
      const accountId = (await reserve(ai.db, { processId, organizationId, amount }))!;
      recorder.finish(row({ organizationId, accountIds: [accountId], reserved: amount, cost: BigInt(i) }));
    }),
  );
  await recorder.flush();
  await releaseBudgets(ai.db, processId);
  const grants = await owner.db.selectFrom("budget_grants").selectAll().where("process_id", "=", processId).execute();
  expect(grants).toStrictEqual([]);
  for (const organizationId of organizations) {
    const spent = (await rowsOf(organizationId)).reduce((sum, one) => sum + one.cost_nanos, 0n);
    expect(await budgetOf(organizationId)).toMatchObject({ granted_nanos: 0n, settled_nanos: spent });
  }
});
