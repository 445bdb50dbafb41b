/** The feed on a real PostgreSQL and a real Redis: order, gaps, receipts, and what happens without either. */
import { newUuid, systemClock } from "@nexus/core";
import { type Database, type Db, openDatabase } from "@nexus/db";
import { openRedis, type Cache, type RedisTarget } from "@nexus/redis";
import { createTestDatabase, startTestRedis, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { announceChanges } from "./announce-change.ts";
import { type Change, type ChangeFeed, confirmChange, currentGeneration, openChangeFeed, openLeaseWatch } from "./index.ts";

let database: TestDatabase;
let writer: Database;
let redis: Awaited<ReturnType<typeof startTestRedis>>;
let cache: Cache;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  [database, redis] = await Promise.all([createTestDatabase(), startTestRedis()]);
  writer = openDatabase(database.keys, { applicationName: "test" });
  cache = openRedis(redis.target);
  await cache.waitUntilReady(5000);
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(async () => {
  await cache.close();
  await writer.close();
  await Promise.all([redis.stop(), database.drop()]);
});

interface Followed extends ChangeFeed {
  seen: Change[];
  resets: number;
}

async function follow(
  options: { target?: RedisTarget | undefined; blindSeconds?: number; on?: (change: Change) => Promise<void> } = {},
): Promise<Followed> {
  const feed = openChangeFeed({
    database: openDatabase(database.ai, { applicationName: "feed", poolSize: 1, statementTimeoutMs: 900 }),
    redis: options.target && { cache, target: options.target },
    clock: systemClock,
    logger: { info: () => {}, warn: () => {} },
    service: "test",
    node: `node-${newUuid().slice(0, 8)}`,
    blindSeconds: options.blindSeconds ?? 0,
  });
  const followed = Object.assign(feed, { seen: [] as Change[], resets: 0 });
  feed.onReset(() => void followed.resets++);
  feed.onChange(async (change) => {
    await options.on?.(change);
    followed.seen.push(change);
  });
  closing.push(() => feed.close());
  await feed.start();
  return followed;
}

async function change(db: Db = writer.db, subject = newUuid()): Promise<number> {
  const { rows } = await sql<{ rev: bigint }>`SELECT record_change('key', ${subject}::uuid, NULL) AS rev`.execute(db);
  return Number(rows[0]!.rev);
}

function watch() {
  const leases = openLeaseWatch({ db: writer.db, redisTarget: redis.target, clock: systemClock });
  closing.push(() => leases.close());
  return leases;
}

async function committed(rev: number, endsWithLease = false) {
  return { generation: await currentGeneration(writer.db), rev, committedAt: systemClock.monotonic(), endsWithLease };
}

it("two writers that commit in the other order than they began are heard in the order of their commits, without a gap", async () => {
  const feed = await follow();
  const from = feed.position().rev;
  const first = await writer.db.startTransaction().execute();
  await sql`SELECT 1`.execute(first);
  const second = await writer.db.startTransaction().execute();
  const revOfSecond = await change(second);
  // The first asks for its number while the second holds the counter: it has to wait, so it cannot get a lower one.
  const revOfFirst = change(first);
  await second.commit().execute();
  expect(await revOfFirst).toBe(revOfSecond + 1);
  await waitFor(() => feed.position().rev >= revOfSecond);
  expect(feed.position().rev).toBe(revOfSecond);
  await first.commit().execute();
  await waitFor(() => feed.position().rev >= revOfSecond + 1);
  expect(feed.seen.map(({ rev }) => rev)).toEqual([from + 1, from + 2]);
});

it("a transaction that is rolled back leaves no number behind", async () => {
  const feed = await follow();
  const from = feed.position().rev;
  const given = await writer.db.startTransaction().execute();
  await change(given);
  await given.rollback().execute();
  expect(await change()).toBe(from + 1);
});

it("thousands of changes at once arrive whole and in order", async () => {
  const feed = await follow();
  const from = feed.position().rev;
  await sql`SELECT record_change('key', gen_random_uuid(), NULL) FROM generate_series(1, 3500)`.execute(writer.db);
  await waitFor(() => feed.seen.length >= 3500);
  expect(feed.seen.map(({ rev }) => rev)).toEqual(Array.from({ length: 3500 }, (_, i) => from + 1 + i));
});

it("with Redis a change is applied and confirmed long before the next look", async () => {
  const feeds = await Promise.all([1, 2, 3].map(() => follow({ target: redis.target })));
  const leases = watch();
  await waitFor(async () => (await cache.client.pubsub("NUMSUB", "nexus:changes"))[1] === 3);
  const subject = newUuid();
  const rev = await change(writer.db, subject);
  const commit = await committed(rev);
  announceChanges(cache, [{ ...commit, kind: "key", subjectId: subject, organizationId: null }]);
  const receipt = await confirmChange({ watch: leases, clock: systemClock }, commit);
  expect(receipt).toMatchObject({ rev, confirmed: true });
  expect(receipt.nodes.map(({ state }) => state)).toEqual(["applied", "applied", "applied"]);
  expect(receipt.elapsedMs).toBeLessThan(900);
  for (const feed of feeds) expect(feed.position().rev).toBe(rev);
});

it("without Redis a change is applied and confirmed at the next look", async () => {
  const feed = await follow();
  const rev = await change();
  const receipt = await confirmChange({ watch: watch(), clock: systemClock }, await committed(rev));
  expect(receipt).toMatchObject({ confirmed: true, nodes: [{ state: "applied" }] });
  expect(feed.seen.at(-1)?.rev).toBe(rev);
});

it("a verifier that cannot apply the change is not confirmed before its lease has run out, and by then it relies on nothing", async () => {
  let fails = false;
  const feed = await follow({ on: () => (fails ? Promise.reject(new Error("cannot")) : Promise.resolve()) });
  fails = true;
  const rev = await change();
  const receipt = await confirmChange({ watch: watch(), clock: systemClock }, await committed(rev));
  expect(feed.lease.isSighted()).toBe(false);
  expect(feed.position().rev).toBe(rev - 1);
  expect(receipt).toMatchObject({ confirmed: true, nodes: [{ state: "run_out" }] });
  fails = false;
  await waitFor(() => feed.lease.isSighted());
  expect(feed.seen.at(-1)?.rev).toBe(rev);
});

it("a verifier that may go on blind is named as pending with the time until which it may, except for what ends with the lease", async () => {
  const feed = await follow({ blindSeconds: 60, on: () => Promise.reject(new Error("cannot")) });
  const leases = watch();
  const rev = await change();
  const [pending, ended] = await Promise.all([
    confirmChange({ watch: leases, clock: systemClock }, await committed(rev)),
    confirmChange({ watch: leases, clock: systemClock }, await committed(rev, true)),
  ]);
  expect(pending).toMatchObject({ confirmed: false, nodes: [{ state: "pending" }] });
  expect(pending.nodes[0]!.until! - Date.now()).toBeGreaterThan(55_000);
  expect(pending.nodes[0]!.until! - Date.now()).toBeLessThan(62_000);
  expect(ended).toMatchObject({ confirmed: true, nodes: [{ state: "run_out" }] });
  expect(feed.lease.blindForMs()).toBeGreaterThan(0);
});

it("a verifier whose lease row was removed makes it again and loses nothing", async () => {
  const feed = await follow();
  await sql`DELETE FROM verifier_leases WHERE verifier_id = ${feed.verifierId}::uuid`.execute(writer.db);
  const rev = await change();
  await waitFor(() => feed.position().rev === rev);
  const { rows } = await sql<{
    rev: bigint;
  }>`SELECT applied_rev AS rev FROM verifier_leases WHERE verifier_id = ${feed.verifierId}::uuid`.execute(writer.db);
  expect(rows).toHaveLength(1);
});

it("a new generation, as after a restore, makes every listener begin anew", async () => {
  const feed = await follow();
  expect(feed.resets).toBe(1);
  const { db } = database.openOwner();
  await sql`UPDATE change_counter SET generation = gen_random_uuid(), rev = 5`.execute(db);
  await waitFor(() => feed.resets === 2);
  await sql`DELETE FROM changes WHERE rev > 5`.execute(db);
  expect(feed.position().rev).toBe(5);
  const rev = await change();
  expect(rev).toBe(6);
  await waitFor(() => feed.seen.at(-1)?.rev === 6);
});

it.each([
  ["the first", 1],
  ["one in the middle", 2],
  ["the last", 3],
])("a verifier begins anew when %s of the changes that it has not read is gone", async (_what, place) => {
  const feed = await follow();
  const from = feed.position().rev;
  const { db } = database.openOwner();
  await db.transaction().execute(async (tx) => {
    for (let i = 0; i < 3; i++) await change(tx);
    await sql`DELETE FROM changes WHERE rev = ${from + place}`.execute(tx);
  });
  await waitFor(() => feed.position().rev === from + 3);
  expect(feed.resets).toBe(2);
});

it("while listeners begin anew, what is older than the head of the feed does not count as new", async () => {
  const feed = await follow();
  const heard: number[] = [];
  feed.onReset(async () => {
    heard.push(feed.heard());
    await sql`SELECT pg_sleep(0.05)`.execute(writer.db);
    heard.push(feed.heard());
  });
  const { db } = database.openOwner();
  await db.transaction().execute(async (tx) => {
    await sql`DELETE FROM changes WHERE rev > 7`.execute(tx);
    await sql`UPDATE change_counter SET generation = gen_random_uuid(), rev = 7`.execute(tx);
  });
  await waitFor(() => heard.length === 2);
  expect(heard).toEqual([7, 7]);
  await waitFor(() => feed.position().rev === 7);
});

it("a reset that failed is done again, though what follows looks like the same feed", async () => {
  const feed = await follow();
  let [failures, done] = [1, 0];
  feed.onReset(() => {
    if (failures-- > 0) throw new Error("cannot");
    done++;
  });
  const { db } = database.openOwner();
  await db.transaction().execute(async (tx) => {
    await sql`UPDATE change_counter SET generation = gen_random_uuid()`.execute(tx);
    await change(tx);
  });
  await waitFor(() => failures < 1 && feed.lease.isSighted() && feed.position().rev > 0);
  await waitFor(() => done > 0, { timeoutMs: 3000 });
});

it("a rumour that is not true costs a look and nothing else", async () => {
  const feed = await follow({ target: redis.target });
  const hinted: number[] = [];
  feed.onHint(({ rev }) => hinted.push(rev));
  await waitFor(async () => (await cache.client.pubsub("NUMSUB", "nexus:changes"))[1] === 1);
  const { generation, rev } = feed.position();
  announceChanges(cache, [
    { generation: generation!, rev: rev + 1_000_000, kind: "key", subjectId: newUuid(), organizationId: null },
  ]);
  await cache.client.publish("nexus:changes", "no JSON");
  await waitFor(() => hinted.length === 1);
  await waitFor(() => feed.heard() === rev);
  const next = await change();
  await waitFor(() => feed.position().rev === next);
});

it("a process that stops in order leaves no lease behind", async () => {
  const feed = await follow();
  await feed.close();
  const { rows } = await sql`SELECT FROM verifier_leases WHERE verifier_id = ${feed.verifierId}::uuid`.execute(writer.db);
  expect(rows).toEqual([]);
});
