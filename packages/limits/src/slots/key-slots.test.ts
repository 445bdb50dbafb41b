/** What holds of calls under way at once, over several processes, on the embedded server and on a real Redis. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { systemClock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type Cache, openRedis, type RedisTarget } from "@nexus/redis";
import { type RedisProcess, redisKinds, startRedisProcess, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Admitted, LimitedKey } from "../limited-key.ts";
import { type KeyLimits, openKeyLimits } from "../open-key-limits.ts";

function keyWith(concurrency: number, createdAt = Date.now() + 1000): LimitedKey {
  const key_id = `key_${randomUUID()}`;
  return { key_id, created_at: new Date(createdAt).toISOString(), limits: [], concurrency, quota: null };
}

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function open(target: RedisTarget, replicas = 1): Promise<{ limits: KeyLimits; cache: Cache }> {
  const cache = openRedis(target, { commandTimeoutMs: 5000 });
  await cache.waitUntilReady(10_000);
  const limits = openKeyLimits({
    cache,
    db: {} as Db,
    clock: systemClock,
    processId: randomUUID(),
    replicas: () => replicas,
  });
  closing.push(() => cache.close());
  closing.push(() => limits.close());
  return { limits, cache };
}

async function enter(limits: KeyLimits, key: LimitedKey): Promise<Admitted | undefined> {
  const answer = await limits.admit(key);
  if (!answer.admitted) expect(answer).toMatchObject({ code: "concurrency_exceeded", retryAfterMs: 1000 });
  return answer.admitted ? answer : undefined;
}

/** A process that enters as often as it may, and then goes on holding. */
function startHolder(target: RedisTarget, key: LimitedKey): { child: ChildProcess; held: () => number } {
  const folder = fileURLToPath(new URL("..", import.meta.url));
  const program = `
    const [, target, key, folder] = process.argv;
    const { openKeyLimits } = await import(folder + '/open-key-limits.ts');
    const { openRedis } = await import('@nexus/redis');
    const { systemClock } = await import('@nexus/core');
    const cache = openRedis(JSON.parse(target));
    await cache.waitUntilReady(10000);
    const limits = openKeyLimits({ cache, clock: systemClock, processId: crypto.randomUUID(), replicas: () => 2 });
    let held = 0;
    while ((await limits.admit(JSON.parse(key))).admitted) held += 1;
    console.log(held);
    setInterval(() => {}, 1000);`;
  const args = ["--input-type=module", "-e", program, "--", JSON.stringify(target), JSON.stringify(key), folder];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  closing.push(async () => void child.kill("SIGKILL"));
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  return { child, held: () => Number(printed.trim()) };
}

describe.each(redisKinds)("with Redis: %s", (kind) => {
  let target: RedisTarget;
  let server: RedisProcess;
  beforeAll(async () => {
    server = await startRedisProcess(kind);
    target = server.target;
  });
  afterAll(() => server.kill());

  test("a slot that one process frees is there for the next, wherever it asks", async () => {
    const [one, other] = [await open(target), await open(target)];
    const key = keyWith(3);
    const first = await enter(one.limits, key);
    expect(await enter(one.limits, key)).toBeDefined();
    expect(await enter(other.limits, key)).toBeDefined();
    expect(await enter(one.limits, key)).toBeUndefined();
    expect(await enter(other.limits, key)).toBeUndefined();
    first?.release();
    await waitFor(() => enter(other.limits, key));
    expect(await enter(one.limits, key)).toBeUndefined();
  });

  test("a call that is released twice frees one slot", async () => {
    const { limits } = await open(target);
    const key = keyWith(2);
    const first = await enter(limits, key);
    expect(await enter(limits, key)).toBeDefined();
    first?.release();
    first?.release();
    expect(await waitFor(() => enter(limits, key))).toBeDefined();
    expect(await enter(limits, key)).toBeUndefined();
  });

  test.each([2, 60])("256 callers of 3 processes are never more than %i at once, and all get their turn", async (most) => {
    const opened = [await open(target), await open(target), await open(target)];
    const key = keyWith(most);
    let [running, peak, done] = [0, 0, 0];
    const call = async (limits: KeyLimits): Promise<void> => {
      const admitted = await waitFor(() => enter(limits, key), { timeoutMs: 60_000, intervalMs: 2 });
      running += 1;
      peak = Math.max(peak, running);
      for (let turns = 0; turns < 5; turns++) await turn();
      running -= 1;
      done += 1;
      admitted.release();
    };
    await Promise.all(Array.from({ length: 256 }, (_, index) => call(opened[index % 3]!.limits)));
    expect(done).toBe(256);
    expect(peak).toBeLessThanOrEqual(most);
    expect(peak).toBeGreaterThanOrEqual(2);
  });

  test("what a process held that was killed is free within seconds, and not before its sign of life runs out", async () => {
    const { limits } = await open(target, 2);
    const key = keyWith(3);
    const { child, held } = startHolder(target, key);
    await waitFor(() => held() === 3, { timeoutMs: 30_000, what: "three slots taken" });
    expect(await enter(limits, key)).toBeUndefined();
    child.kill("SIGKILL");
    const killedAt = performance.now();
    await waitFor(() => enter(limits, key), { timeoutMs: 10_000, intervalMs: 50 });
    expect(performance.now() - killedAt).toBeGreaterThan(2000);
    expect(performance.now() - killedAt).toBeLessThan(7000);
  });

  test("after a flush nobody gets more than its part until all have said what they hold", async () => {
    const [one, other] = [await open(target, 2), await open(target, 2)];
    const key = keyWith(4, Date.now() - 60_000);
    // As old as the marker: the grace of its first seconds has to pass before it has all of them.
    let held = 0;
    await waitFor(async () => {
      if (await enter(one.limits, key)) held += 1;
      return held === 4;
    });
    await one.cache.client.flushall();
    let stolen = 0;
    const until = performance.now() + 3000;
    while (performance.now() < until) {
      if (await enter(other.limits, key)) stolen += 1;
      await turn();
    }
    expect(stolen).toBeLessThanOrEqual(2);
    const said = await one.cache.client.hgetall(`nexus:slots:${key.key_id}`);
    expect(Object.values(said)).toContain("4");
  });

  test("without Redis each process has its part of the slots, and all of them know when it is back", async () => {
    const server = await startRedisProcess(kind);
    closing.push(() => server.kill());
    const [one, other] = [await open(server.target, 2), await open(server.target, 2)];
    const key = keyWith(6);
    const before = await enter(one.limits, key);
    await server.kill();
    await waitFor(() => !one.cache.isReady() && !other.cache.isReady());
    const running: Admitted[] = [];
    for (const { limits } of [one, other]) {
      for (let call = 0; call < 10; call++) running.push(...[await enter(limits, key)].filter((call) => call !== undefined));
    }
    expect(running).toHaveLength(5);
    await server.start();
    await waitFor(() => one.cache.isReady() && other.cache.isReady());
    const slots = `nexus:slots:${key.key_id}`;
    await waitFor(async () => Object.values(await one.cache.client.hgetall(slots)).join() === "3,3");
    expect(await enter(one.limits, key)).toBeUndefined();
    expect(await enter(other.limits, key)).toBeUndefined();
    for (const call of [before, ...running]) call?.release();
    await waitFor(async () => Object.keys(await one.cache.client.hgetall(slots)).length === 0);
  });
});
