/** What holds of quotas, over several processes and on a real PostgreSQL. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Clock, systemClock } from "@nexus/core";
import { type Connection, type Database, openDatabase } from "@nexus/db";
import { type Cache, openRedis } from "@nexus/redis";
import { createTestDatabase, fakeClock, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Admission, LimitedKey, QuotaRefill } from "../limited-key.ts";
import { type KeyLimits, openKeyLimits } from "../open-key-limits.ts";

/** Nobody listens there: no key here has a limit that Redis keeps. */
const noRedis = { url: "redis://127.0.0.1:1/0" };

let database: TestDatabase;
let owner: Database;
let cache: Cache;
beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
  cache = openRedis(noRedis);
});
afterAll(async () => {
  await cache.close();
  await database.drop();
});

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

function open(connection: Connection = database.ai, clock: Clock = systemClock): KeyLimits {
  const opened = openDatabase(connection, { applicationName: "limits-test", poolSize: 4 });
  const limits = openKeyLimits({ cache, db: opened.db, clock, processId: randomUUID(), replicas: () => 3 });
  closing.push(() => opened.close());
  closing.push(() => limits.close());
  return limits;
}

async function makeKey(limit: number, refill: QuotaRefill = "never"): Promise<LimitedKey> {
  const [organizationId, keyId] = [randomUUID(), randomUUID()];
  await owner.db.insertInto("organizations").values({ id: organizationId, name: "Quotas" }).execute();
  await owner.db
    .insertInto("api_keys")
    .values({
      id: keyId,
      organization_id: organizationId,
      owner_kind: "organization",
      name: randomBytes(4).toString("hex"),
      kind: "sk",
      environment: "live",
      rev: 1n,
      quota_limit: BigInt(limit),
      quota_refill: refill,
    })
    .execute();
  const created_at = new Date().toISOString();
  return { key_id: `key_${keyId}`, created_at, limits: [], concurrency: null, quota: { limit, refill } };
}

/** The key as verifiers see it after its quota was changed. */
async function change(key: LimitedKey, limit: number): Promise<LimitedKey> {
  const id = key.key_id.slice(4);
  await owner.db
    .updateTable("api_keys")
    .set({ quota_limit: BigInt(limit) })
    .where("id", "=", id)
    .execute();
  return { ...key, quota: { limit, refill: key.quota!.refill } };
}

async function used(key: LimitedKey): Promise<number> {
  const row = await owner.db.selectFrom("key_quotas").select("used").where("key_id", "=", key.key_id.slice(4)).executeTakeFirst();
  return Number(row?.used ?? 0);
}

async function admitted(limits: KeyLimits, key: LimitedKey, calls: number): Promise<number> {
  const answers = await Promise.all(Array.from({ length: calls }, async () => await limits.admit(key)));
  return answers.filter((answer) => answer.admitted).length;
}

async function refusalOf(limits: KeyLimits, key: LimitedKey, cost = 1): Promise<Admission & { admitted: false }> {
  const answer = await limits.admit(key, cost);
  expect(answer.admitted).toBe(false);
  return answer as Admission & { admitted: false };
}

test("three processes with 256 callers each spend a quota to the last use and no further", async () => {
  const key = await makeKey(500);
  const processes = [open(database.ai), open(database.api), open(database.keys)];
  const counts = await Promise.all(processes.map((limits) => admitted(limits, key, 256)));
  let total = counts.reduce((sum, count) => sum + count, 0);
  expect(total).toBeLessThanOrEqual(500);
  // What some held when others were refused is given back.
  await waitFor(async () => {
    for (const limits of processes) total = (await admitted(limits, key, 1)) + total;
    return total === 500;
  });
  expect(await used(key)).toBe(500);
  expect(await refusalOf(processes[0]!, key)).toMatchObject({ code: "quota_exceeded", retryAfterMs: 86_400_000 });
});

test("a use may cost several, and takes all of them or none", async () => {
  const key = await makeKey(10);
  const limits = open();
  expect((await limits.admit(key, 7)).admitted).toBe(true);
  expect((await refusalOf(limits, key, 4)).code).toBe("quota_exceeded");
  expect((await limits.admit(key, 3)).admitted).toBe(true);
  expect(await used(key)).toBe(10);
});

test("a call that another limit refuses costs nothing of the quota", async () => {
  const key = { ...(await makeKey(10)), concurrency: 1 };
  const limits = open();
  const running = await limits.admit(key);
  for (let call = 0; call < 20; call++) expect((await refusalOf(limits, key)).code).toBe("concurrency_exceeded");
  if (running.admitted) running.release();
  await limits.close();
  expect(await used(key)).toBe(1);
});

test("what a process did not spend is given back when it closes, and when it is idle", async () => {
  const key = await makeKey(100_000);
  const limits = open();
  const other = open();
  for (let round = 0; round < 12; round++) await admitted(limits, key, 8);
  expect(await used(key)).toBeGreaterThan(96);
  await waitFor(async () => (await used(key)) === 96, { timeoutMs: 20_000, what: "an idle block given back" });
  for (let round = 0; round < 12; round++) await admitted(other, key, 8);
  expect(await used(key)).toBeGreaterThan(192);
  await other.close();
  expect(await used(key)).toBe(192);
});

test("a raised quota admits at once, a lowered one stops at once", async () => {
  const key = await makeKey(5);
  const limits = open();
  expect(await admitted(limits, key, 20)).toBe(5);
  const raised = await change(key, 8);
  expect(await admitted(limits, raised, 20)).toBe(3);
  const lowered = await change(key, 2);
  expect(await admitted(limits, lowered, 20)).toBe(0);
  expect(await used(key)).toBe(8);
});

test.each([
  ["day", "2026-03-01T23:59:59Z", "2026-03-01T00:00:00.000Z"],
  ["week", "2026-03-01T23:59:59Z", "2026-02-23T00:00:00.000Z"],
  ["week", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00.000Z"],
  ["month", "2026-02-28T23:59:59Z", "2026-02-01T00:00:00.000Z"],
  ["never", "2026-02-28T23:59:59Z", "1970-01-01T00:00:00.000Z"],
] as const)("a %s's quota at %s counts from %s, wherever the server is", async (refill, moment, start) => {
  const rows = await owner.db.connection().execute(async (session) => {
    await sql`SET timezone = 'Pacific/Auckland'`.execute(session);
    const { rows: found } = await sql<{
      start: Date;
    }>`SELECT quota_period_start(${refill}, ${moment}::timestamptz) AS start`.execute(session);
    await sql`RESET timezone`.execute(session);
    return found;
  });
  expect(rows[0]?.start.toISOString()).toBe(start);
});

test("a new period has the whole quota again, and what a killed process held of the old one is forgotten", async () => {
  const key = await makeKey(5, "month");
  const limits = open();
  expect(await admitted(limits, key, 20)).toBe(5);
  const refused = await refusalOf(limits, key);
  expect(refused.code).toBe("quota_exceeded");
  expect(refused.retryAfterMs).toBeLessThanOrEqual(31 * 86_400_000);
  const keyId = key.key_id.slice(4);
  await sql`UPDATE key_quotas SET period_start = period_start - interval '1 month' WHERE key_id = ${keyId}`.execute(owner.db);
  await waitFor(async () => (await limits.admit(key)).admitted);
  expect(await used(key)).toBe(1);
  const { rows } = await sql<{ held: bigint }>`SELECT held FROM quota_leases WHERE key_id = ${keyId}`.execute(owner.db);
  expect(rows).toEqual([{ held: 1n }]);
});

test("what was granted in one period is void in the next", async () => {
  const key = await makeKey(100_000, "month");
  const clock = fakeClock();
  const limits = open(database.ai, clock);
  for (let round = 0; round < 12; round++) await admitted(limits, key, 8);
  expect(await used(key)).toBeGreaterThan(96);
  const keyId = key.key_id.slice(4);
  await sql`UPDATE key_quotas SET period_start = period_start - interval '1 month' WHERE key_id = ${keyId}`.execute(owner.db);
  clock.advance(32 * 86_400_000);
  expect((await limits.admit(key)).admitted).toBe(true);
  expect(await used(key)).toBeLessThan(96);
});

test("a clock of PostgreSQL that was set back opens no period twice", async () => {
  const key = await makeKey(5, "day");
  const limits = open();
  expect(await admitted(limits, key, 20)).toBe(5);
  const keyId = key.key_id.slice(4);
  await sql`UPDATE key_quotas SET period_start = period_start + interval '3 days' WHERE key_id = ${keyId}`.execute(owner.db);
  expect((await refusalOf(open(), key)).code).toBe("quota_exceeded");
});

test("a process without PostgreSQL spends what it was granted, then says that it cannot tell", async () => {
  const key = await makeKey(100_000);
  // A way to PostgreSQL that can be cut.
  const way = await startWay(database.ai);
  const limits = open({ ...database.ai, host: "127.0.0.1", port: way.port });
  for (let round = 0; round < 12; round++) await admitted(limits, key, 8);
  const held = (await used(key)) - 96;
  expect(held).toBeGreaterThan(0);
  await way.cut();
  let spent = 0;
  const failure = await waitFor(
    async () => {
      try {
        if ((await limits.admit(key)).admitted) spent += 1;
        return undefined;
      } catch (error) {
        return error;
      }
    },
    { intervalMs: 0 },
  );
  expect(failure).toMatchObject({ code: "unavailable", headers: { "retry-after": "1" } });
  expect(spent).toBeLessThanOrEqual(held);
  expect(spent).toBeGreaterThan(0);
});

async function startWay(to: Connection): Promise<{ port: number; cut: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const onward = connect(to.port, to.host);
    for (const end of [socket, onward]) {
      sockets.add(end);
      end.on("error", () => {}).on("close", () => [socket, onward].forEach((other) => other.destroy()));
    }
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const cut = async (): Promise<void> => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  closing.push(cut);
  return { port: (server.address() as AddressInfo).port, cut };
}

/** A process that spends as fast as it may and says so for each use, after it was admitted. */
function startSpender(key: LimitedKey): { child: ChildProcess; spent: () => number; isDone: () => boolean } {
  const folder = fileURLToPath(new URL("..", import.meta.url));
  const program = `
    const [, connection, key, folder] = process.argv;
    const { openKeyLimits } = await import(folder + '/open-key-limits.ts');
    const { openDatabase } = await import('@nexus/db');
    const { openRedis } = await import('@nexus/redis');
    const { systemClock } = await import('@nexus/core');
    const { writeSync } = await import('node:fs');
    const { db } = openDatabase(JSON.parse(connection), { applicationName: 'spender', poolSize: 2 });
    const cache = openRedis({ url: 'redis://127.0.0.1:1/0' });
    const limits = openKeyLimits({ cache, db, clock: systemClock, processId: crypto.randomUUID(), replicas: () => 3 });
    const wanted = JSON.parse(key);
    for (;;) {
      const { admitted } = await limits.admit(wanted);
      if (!admitted) break;
      writeSync(1, 'x\\n');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await limits.close();
    writeSync(1, 'done\\n');
    process.exit(0);`;
  const args = ["--input-type=module", "-e", program, "--", JSON.stringify(database.ai), JSON.stringify(key), folder];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  closing.push(async () => void child.kill("SIGKILL"));
  let [spent, done] = [0, false];
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line === "x") spent += 1;
    else done = line === "done";
  });
  return { child, spent: () => spent, isDone: () => done };
}

test("kill -9 in the middle admits nothing twice: what the dead process held stays charged", async () => {
  const key = await makeKey(6000);
  const victim = startSpender(key);
  await waitFor(() => victim.spent() > 300, { timeoutMs: 60_000, what: "three hundred uses" });
  const others = [startSpender(key), startSpender(key)];
  await waitFor(() => others.every(({ spent }) => spent() > 100), { timeoutMs: 60_000, what: "the others spending too" });
  victim.child.kill("SIGKILL");
  await waitFor(() => others.every(({ isDone }) => isDone()), { timeoutMs: 60_000, what: "the others spending the rest" });
  const spent = [victim, ...others].reduce((sum, spender) => sum + spender.spent(), 0);
  expect(spent).toBeLessThanOrEqual(6000);
  const { rows } = await sql<{ held: bigint }>`SELECT held FROM quota_leases WHERE key_id = ${key.key_id.slice(4)}`.execute(
    owner.db,
  );
  expect(rows).toHaveLength(1);
  const heldByTheDead = Number(rows[0]?.held);
  expect(heldByTheDead).toBeLessThanOrEqual(6000 / 16);
  expect(spent).toBeGreaterThanOrEqual(6000 - heldByTheDead);
  expect(await used(key)).toBe(6000);
});
