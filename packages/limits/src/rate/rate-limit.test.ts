/** What holds of rate limits over several processes, on the embedded server and on a real Redis. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Clock, systemClock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type Cache, openRedis, type RedisTarget } from "@nexus/redis";
import { type RedisProcess, redisKinds, startRedisProcess, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Admission, KeyLimit, LimitedKey } from "../limited-key.ts";
import { type KeyLimits, openKeyLimits } from "../open-key-limits.ts";

/** No key here has a quota: nothing asks PostgreSQL. */
const noDatabase = {} as Db;

function keyWith(limits: KeyLimit[], createdAt = new Date(Date.now() + 1000)): LimitedKey {
  return { key_id: `key_${randomUUID()}`, created_at: createdAt.toISOString(), limits, concurrency: null, quota: null };
}

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Opened {
  limits: KeyLimits;
  cache: Cache;
}

async function open(
  target: RedisTarget,
  options: { replicas?: number; clock?: Clock; timeoutMs?: number } = {},
): Promise<Opened> {
  const cache = openRedis(target, { commandTimeoutMs: options.timeoutMs ?? 5000 });
  await cache.waitUntilReady(10_000);
  const limits = openKeyLimits({
    cache,
    db: noDatabase,
    clock: options.clock ?? systemClock,
    processId: randomUUID(),
    replicas: () => options.replicas ?? 1,
  });
  closing.push(() => cache.close());
  closing.push(() => limits.close());
  return { limits, cache };
}

async function admitted(limits: KeyLimits, key: LimitedKey, calls: number): Promise<number> {
  const answers = await Promise.all(Array.from({ length: calls }, async () => await limits.admit(key)));
  return answers.filter((answer) => answer.admitted).length;
}

interface Counted {
  /** Of the machine's monotonic clock, ms. */
  startedAt: number;
  admittedAt: number[];
  asked: number;
}

const program = `
  const [, target, key, callers, forMs, at, timeout] = process.argv;
  const { openKeyLimits } = await import(at + '/open-key-limits.ts');
  const { openRedis } = await import('@nexus/redis');
  const { systemClock } = await import('@nexus/core');
  const cache = openRedis(JSON.parse(target), { commandTimeoutMs: Number(timeout) });
  await cache.waitUntilReady(10000);
  const limits = openKeyLimits({ cache, clock: systemClock, processId: crypto.randomUUID(), replicas: () => 3 });
  const now = () => Number(process.hrtime.bigint()) / 1e6;
  console.log('"ready"');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  const [startedAt, admittedAt] = [now(), []];
  let asked = 0;
  const call = async () => {
    while (now() - startedAt < Number(forMs)) {
      asked += 1;
      if ((await limits.admit(JSON.parse(key))).admitted) admittedAt.push(now());
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await Promise.all(Array.from({ length: Number(callers) }, call));
  await limits.close();
  await cache.close();
  console.log(JSON.stringify({ startedAt, admittedAt, asked }));
  process.exit(0);
`;

/** So many processes with so many callers each, who all begin at once. */
async function callFromProcesses(
  target: RedisTarget,
  key: LimitedKey,
  options: { forMs: number; timeoutMs?: number; meanwhile?: () => Promise<void> },
): Promise<Counted> {
  const { forMs, timeoutMs = 5000, meanwhile } = options;
  const folder = fileURLToPath(new URL("..", import.meta.url));
  const children = Array.from({ length: 3 }, () => {
    const args = [JSON.stringify(target), JSON.stringify(key), "256", String(forMs), folder, String(timeoutMs)];
    const child: ChildProcess = spawn(process.execPath, ["--input-type=module", "-e", program, "--", ...args], {
      cwd: folder,
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines: string[] = [];
    createInterface({ input: child.stdout! }).on("line", (line) => lines.push(line));
    return { child, lines };
  });
  closing.push(async () => children.forEach(({ child }) => child.kill("SIGKILL")));
  await waitFor(() => children.every(({ lines }) => lines.length >= 1), { timeoutMs: 60_000, what: "callers" });
  for (const { child } of children) child.stdin!.write("go\n");
  await meanwhile?.();
  await waitFor(() => children.every(({ lines }) => lines.length >= 2), { timeoutMs: 60_000, what: "counts" });
  const counts = children.map(({ lines }) => JSON.parse(lines[1]!) as Counted);
  return {
    startedAt: Math.min(...counts.map(({ startedAt }) => startedAt)),
    admittedAt: counts.flatMap(({ admittedAt }) => admittedAt).toSorted((a, b) => a - b),
    asked: counts.reduce((sum, { asked }) => sum + asked, 0),
  };
}

/** How many calls more than `limit + rate × t` had been admitted at the worst moment. */
function excess({ startedAt, admittedAt }: Counted, { limit, window_seconds: seconds }: KeyLimit): number {
  const excesses = admittedAt.map((at, index) => index + 1 - Math.floor(limit + ((at - startedAt) / 1000) * (limit / seconds)));
  return Math.max(0, ...excesses);
}

describe.each(redisKinds)("with Redis: %s", (kind) => {
  let server: RedisProcess;
  let target: RedisTarget;
  beforeAll(async () => {
    server = await startRedisProcess(kind);
    target = server.target;
  });
  afterAll(() => server.kill());

  test("a new key has its whole limit at once, and not one call more", async () => {
    const { limits } = await open(target);
    const key = keyWith([{ name: "hour", limit: 100, window_seconds: 3600 }]);
    expect(await admitted(limits, key, 256)).toBe(100);
    const refused = (await limits.admit(key)) as Admission & { admitted: false };
    expect(refused).toMatchObject({ admitted: false, code: "rate_limited" });
    expect(refused.retryAfterMs).toBeGreaterThan(30_000);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(36_000);
    expect(refused.states).toMatchObject([{ name: "hour", quota: 100, windowSeconds: 3600, remaining: 0 }]);
  });

  test("3 processes with 256 callers each never exceed one window", async () => {
    const limit = { name: "second", limit: 500, window_seconds: 1 };
    const counted = await callFromProcesses(target, keyWith([limit]), { forMs: 2500 });
    expect(excess(counted, limit)).toBe(0);
    // It is a limit and not a wall: what may pass does.
    expect(counted.admittedAt.length).toBeGreaterThan(1000);
    expect(counted.asked).toBeGreaterThan(counted.admittedAt.length);
  });

  test("nor any of several, small and large", async () => {
    const several = [
      { name: "burst", limit: 40, window_seconds: 1 },
      { name: "minute", limit: 90, window_seconds: 60 },
      { name: "day", limit: 100_000, window_seconds: 86_400 },
    ];
    const counted = await callFromProcesses(target, keyWith(several), { forMs: 2500 });
    for (const limit of several) expect([limit.name, excess(counted, limit)]).toEqual([limit.name, 0]);
    expect(counted.admittedAt.length).toBeGreaterThanOrEqual(85);
  });

  test("what one process leased and did not spend is free for the others a second later, and at once when it closes", async () => {
    const [one, other] = [await open(target), await open(target)];
    const key = keyWith([{ name: "hour", limit: 200, window_seconds: 3600 }]);
    for (let call = 0; call < 60; call++) await one.limits.admit(key);
    await waitFor(async () => (await other.limits.admit(key, 140)).admitted, { timeoutMs: 5000 });
    const second = keyWith([{ name: "hour", limit: 200, window_seconds: 3600 }]);
    for (let call = 0; call < 60; call++) await one.limits.admit(second);
    await one.limits.close();
    expect(await other.limits.admit(second, 140)).toMatchObject({ admitted: true });
  });

  test("Redis emptied under 3 processes with 256 callers each: not one call too many", async () => {
    const { cache } = await open(target);
    const limit = { name: "two", limit: 1000, window_seconds: 2 };
    // Older than the data, and whatever may have been lost of it is over.
    const key = keyWith([limit], new Date(Date.now() - 3_600_000));
    await delay(2100);
    const meanwhile = async (): Promise<void> => {
      for (let flush = 0; flush < 3; flush++) {
        await delay(600);
        await cache.client.flushall();
      }
    };
    const counted = await callFromProcesses(target, key, { forMs: 3000, meanwhile });
    expect(excess(counted, limit)).toBe(0);
    expect(counted.admittedAt.length).toBeGreaterThan(1000);
  });

  test("Redis stopped and continued under them: at most one window too many, and nobody waits for it", async () => {
    const server = await startRedisProcess(kind);
    closing.push(() => server.kill());
    const limit = { name: "two", limit: 1000, window_seconds: 2 };
    const meanwhile = async (): Promise<void> => {
      await delay(500);
      server.pause();
      await delay(1500);
      server.resume();
    };
    const counted = await callFromProcesses(server.target, keyWith([limit], new Date(Date.now() + 30_000)), {
      forMs: 3500,
      timeoutMs: 50,
      meanwhile,
    });
    expect(excess(counted, limit)).toBeLessThanOrEqual(1000);
    const gaps = counted.admittedAt.map((at, index) => at - (counted.admittedAt[index - 1] ?? at));
    expect(Math.max(...gaps)).toBeLessThan(700);
  });
});
