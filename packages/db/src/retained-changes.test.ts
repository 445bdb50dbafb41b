/** The change feed is kept by month: what its migration keeps, and which months may go. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ageChanges, createTestDatabase, type TestDatabase } from "@nexus/testing";
import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { migrate } from "./migrate.ts";
import { migrationsDirectory, readMigrations } from "./migration-files.ts";
import { type Database, openDatabase } from "./open-database.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function openTest(options?: { empty: boolean }): Promise<{ database: TestDatabase; owner: Database }> {
  const database = await createTestDatabase(options);
  closing.push(() => database.drop());
  return { database, owner: database.openOwner() };
}

async function record({ db }: Database, count = 1): Promise<number> {
  const { rows } = await sql<{ rev: bigint }>`
    SELECT max(record_change('key', gen_random_uuid(), NULL)) AS rev FROM generate_series(1, ${count}::int)`.execute(db);
  return Number(rows[0]!.rev);
}

async function revs({ db }: Database): Promise<number[]> {
  return (await db.selectFrom("changes").select("rev").orderBy("rev").execute()).map(({ rev }) => Number(rev));
}

it("a feed that was there before goes on where it was, without what is older than last month", async () => {
  const { database, owner } = await openTest({ empty: true });
  const directory = await mkdtemp(join(tmpdir(), "nexus-before-"));
  closing.push(() => rm(directory, { recursive: true }));
  const earlier = (await readMigrations(migrationsDirectory)).filter(({ name }) => name < "20261123T1340");
  for (const { name } of earlier) await cp(join(migrationsDirectory, name), join(directory, name));
  await migrate(database.owner, { directory });
  await record(owner, 4);
  await sql`UPDATE changes SET recorded_at = now() - interval '3 months' WHERE rev <= 2`.execute(owner.db);
  await sql`UPDATE changes SET recorded_at = now() - interval '1 month' WHERE rev = 3`.execute(owner.db);
  await migrate(database.owner);
  expect(await revs(owner)).toEqual([3, 4]);
  expect(await record(owner)).toBe(5);
});

describe("dropping old months", () => {
  let owner: Database;
  let keys: Database;
  beforeEach(async () => {
    const test = await openTest();
    owner = test.owner;
    keys = openDatabase(test.database.keys, { applicationName: "test", poolSize: 2 });
    closing.push(() => keys.close());
    await record(owner, 3);
    await ageChanges(owner, { to: 2 });
  });

  const drop = async (): Promise<number> =>
    (await sql<{ dropped: number }>`SELECT drop_old_changes() AS dropped`.execute(keys.db)).rows[0]!.dropped;
  const follow = async (appliedRev: number, seconds: { silent?: number; blind?: number } = {}): Promise<void> => {
    await sql`INSERT INTO verifier_leases (verifier_id, service, node, generation, applied_rev, blind_seconds, renewed_at)
      SELECT gen_random_uuid(), 'test', 'node', generation, ${appliedRev}, ${seconds.blind ?? 0},
        now() - make_interval(secs => ${seconds.silent ?? 0}) FROM change_counter`.execute(owner.db);
  };

  it("takes what every verifier has behind it, once, and nothing of this month or the last", async () => {
    await follow(2);
    const lastMonth = sql`(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month') AT TIME ZONE 'UTC'`;
    await sql`UPDATE changes SET recorded_at = ${lastMonth} WHERE rev = 3`.execute(owner.db);
    expect(await drop()).toBe(1);
    expect(await revs(owner)).toEqual([3]);
    expect(await drop()).toBe(0);
    expect(await record(owner)).toBe(4);
  });

  it("waits for a verifier that is alive and behind, for as long as it may go on blind and a minute more", async () => {
    await follow(1, { silent: 80, blind: 60 });
    expect(await drop()).toBe(0);
    expect(await revs(owner)).toEqual([1, 2, 3]);
  });

  it("waits for none that is gone or has no place yet", async () => {
    await follow(1, { silent: 130, blind: 60 });
    await follow(0);
    expect(await drop()).toBe(1);
  });

  it("gives way to those who read and write the feed, and holds nobody up", async () => {
    const reader = await owner.db.startTransaction().execute();
    await sql`SELECT count(*) FROM changes`.execute(reader);
    const began = performance.now();
    const dropping = drop();
    await record(owner);
    expect(await dropping).toBe(0);
    expect(performance.now() - began).toBeLessThan(900);
    await reader.rollback().execute();
    expect(await revs(owner)).toEqual([1, 2, 3, 4]);
    expect(await drop()).toBe(1);
  });

  it("is done by one of many at once, without a deadlock", async () => {
    const dropped = await Promise.all(Array.from({ length: 6 }, drop));
    expect(dropped.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 0, 0, 1]);
  });
});
