import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestDatabase, type TestDatabase, waitFor } from "@nexus/testing";
import { Client } from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { migrate, migrationStatus, type MigrationStep } from "./migrate.ts";

let database: TestDatabase;
let directory: string;
let client: Client;
beforeEach(async () => {
  database = await createTestDatabase({ empty: true });
  directory = await mkdtemp(join(tmpdir(), "nexus-migrations-"));
  client = new Client({ ...database.owner, application_name: "the test" });
  await client.connect();
});
afterEach(async () => {
  await client.end();
  await database.drop();
  await rm(directory, { recursive: true });
});

const file = async (name: string, sql: string): Promise<void> => await writeFile(join(directory, name), sql);
const run = async (options: Parameters<typeof migrate>[1] = {}) => await migrate(database.owner, { directory, ...options });
const count = async (table: string): Promise<number> =>
  Number((await client.query(`SELECT count(*) FROM ${table}`)).rows[0].count);
const tables = async (): Promise<string[]> =>
  (await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")).rows.map((row) => row.tablename);

/** The runner in a process of its own, as a deployment starts it. */
function runner(): ChildProcess & { output: () => string } {
  const code = `import { migrate } from ${JSON.stringify(new URL("./migrate.ts", import.meta.url).href)};
    const result = await migrate(JSON.parse(process.argv[1]), { directory: process.argv[2], onStep: (step) => console.log(JSON.stringify(step)) });
    console.log(JSON.stringify(result));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code, JSON.stringify(database.owner), directory]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return Object.assign(child, { output: () => output });
}

const exitOf = async (child: ChildProcess): Promise<number | null> =>
  child.exitCode ?? (await new Promise((resolve) => child.once("close", resolve)));

test("migrations run once, in the order of their names, and a second run does nothing", async () => {
  await file("20260101T0001_b.sql", "INSERT INTO t VALUES (2);");
  await file("20260101T0000_a.sql", "CREATE TABLE t (n integer); INSERT INTO t VALUES (1);");
  expect(await run()).toEqual({ applied: ["20260101T0000_a.sql", "20260101T0001_b.sql"], earlier: [] });
  expect(await run()).toEqual({ applied: [], earlier: ["20260101T0000_a.sql", "20260101T0001_b.sql"] });
  expect(await count("t")).toBe(2);
});

test("a failed migration leaves nothing of itself, keeps what came before, and says where it failed", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE kept (n integer);");
  await file("20260101T0001_b.sql", "CREATE TABLE lost (n integer);\n-- é 😀\nINSERT INTO lost\n  VALUES (nothing);");
  await file("20260101T0002_c.sql", "CREATE TABLE never (n integer);");
  await expect(run()).rejects.toThrow(
    /^20260101T0001_b\.sql:4:11: column "nothing" does not exist \(42703\); nothing of this file was kept/,
  );
  expect(await tables()).toEqual(["kept", "schema_migrations"]);
  expect((await migrationStatus(database.owner, directory)).pending).toEqual(["20260101T0001_b.sql", "20260101T0002_c.sql"]);
});

test("a file that was changed after it was applied stops everything and is named", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);");
  await run();
  await file("20260101T0000_a.sql", "CREATE TABLE a (n bigint);");
  await file("20260101T0001_b.sql", "CREATE TABLE b (n integer);");
  await expect(run()).rejects.toThrow(/20260101T0000_a\.sql was changed after it was applied/);
  expect(await tables()).not.toContain("b");
});

test("a file that is missing after it was applied stops everything and is named", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);");
  await file("20260101T0001_b.sql", "CREATE TABLE b (n integer);");
  await run();
  await rm(join(directory, "20260101T0000_a.sql"));
  await expect(run()).rejects.toThrow(/20260101T0000_a\.sql was applied to this database but its file is missing/);
});

test("a new file older than one that was applied is refused and named", async () => {
  await file("20260101T0001_b.sql", "CREATE TABLE b (n integer);");
  await run();
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);");
  await expect(run()).rejects.toThrow(/20260101T0000_a\.sql is new but older than 20260101T0001_b\.sql/);
  const status = await migrationStatus(database.owner, directory);
  expect(status.drift).toHaveLength(1);
});

test("a COMMIT inside a migration is refused before anything runs", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);\ncommit;\nCREATE TABLE b (n integer);");
  await expect(run()).rejects.toThrow("20260101T0000_a.sql: COMMIT is refused");
  expect(await tables()).toEqual(["schema_migrations"]);
});

test("a file with another name than YYYYMMDDTHHMM_name.sql is refused", async () => {
  await file("001_first.sql", "CREATE TABLE a (n integer);");
  await expect(run()).rejects.toThrow(/001_first\.sql is not named/);
});

test("a dry run names what it would apply and changes nothing", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);");
  expect((await run({ dryRun: true })).applied).toEqual(["20260101T0000_a.sql"]);
  expect(await tables()).toEqual([]);
});

test("of two runners started at once one waits, and each migration is applied once", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE ran (n integer); SELECT pg_sleep(0.3); INSERT INTO ran VALUES (1);");
  await file("20260101T0001_b.sql", "SELECT pg_sleep(0.3); INSERT INTO ran VALUES (2);");
  const [one, two] = [runner(), runner()];
  expect([await exitOf(one), await exitOf(two)], one.output() + two.output()).toEqual([0, 0]);
  const both = one.output() + two.output();
  expect(both.match(/"kind":"waiting"/g)).toHaveLength(1);
  expect(both).toContain("nexus-migrate");
  expect(both.match(/"kind":"applied"/g)).toHaveLength(2);
  expect(await count("ran")).toBe(2);
});

test("a runner that is killed midway leaves nothing half-done, and the next one goes on", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);");
  await file("20260101T0001_b.sql", "CREATE TABLE half (n integer); SELECT pg_sleep(60);");
  const killed = runner();
  await waitFor(() => killed.output().includes('"kind":"applying","name":"20260101T0001_b.sql"'));
  killed.kill("SIGKILL");
  await exitOf(killed);
  expect(await tables()).toEqual(["a", "schema_migrations"]);
  await file("20260101T0001_b.sql", "CREATE TABLE whole (n integer);");
  expect((await run({ lockWaitMs: 10_000 })).applied).toEqual(["20260101T0001_b.sql"]);
  expect(await tables()).toEqual(["a", "schema_migrations", "whole"]);
});

test("waiting for another runner is bounded and says who it is", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);");
  await client.query("SELECT pg_advisory_lock(hashtextextended('nexus.migrate', 0))");
  const steps: MigrationStep[] = [];
  await expect(run({ lockWaitMs: 200, onStep: (step) => steps.push(step) })).rejects.toThrow(
    /longer than 200 ms: the test at 127\.0\.0\.1/,
  );
  expect(steps).toEqual([{ kind: "waiting", for: expect.stringContaining("the test at 127.0.0.1") as string }]);
});

test("a migration does not wait for ever for a table that is in use", async () => {
  await file("20260101T0000_a.sql", "CREATE TABLE a (n integer);");
  await run();
  await client.query("BEGIN; LOCK TABLE a");
  await file("20260101T0001_b.sql", "ALTER TABLE a ADD COLUMN m integer;");
  await expect(run({ lockTimeoutMs: 100 })).rejects.toThrow(/20260101T0001_b\.sql.*lock timeout/);
  await client.query("ROLLBACK");
});
