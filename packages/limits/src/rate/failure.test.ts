/** What holds of rate limits while Redis hangs, dies, is emptied or has another time. */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type Cache, openRedis, type RedisTarget } from "@nexus/redis";
import { type RedisKind, type RedisProcess, redisKinds, startRedisProcess, startTestRedis, waitFor } from "@nexus/testing";
import { afterEach, describe, expect, test } from "vitest";
import type { KeyLimit, LimitedKey } from "../limited-key.ts";
import { type KeyLimits, openKeyLimits } from "../open-key-limits.ts";
import { markerKey } from "../redis/generation.ts";

function keyWith(limit: KeyLimit, createdAt: number): LimitedKey {
  const created_at = new Date(createdAt).toISOString();
  return { key_id: `key_${randomUUID()}`, created_at, limits: [limit], concurrency: null, quota: null };
}

/** How far a clock may be ahead before it is believed to have been stepped. */
const slackSeconds = 1;
const hourly = (limit: number): KeyLimit => ({ name: "hour", limit, window_seconds: 3600 });
const minuteAgo = (): number => Date.now() - 60_000;
const later = (): number => Date.now() + 1000;

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function startServer(kind: RedisKind): Promise<RedisProcess> {
  const server = await startRedisProcess(kind);
  closing.push(() => server.kill());
  return server;
}

interface Opened {
  limits: KeyLimits;
  cache: Cache;
}

async function open(server: { target: RedisTarget }, options: { replicas?: number; timeoutMs?: number } = {}): Promise<Opened> {
  const cache = openRedis(server.target, { commandTimeoutMs: options.timeoutMs ?? 5000 });
  expect(await cache.waitUntilReady(10_000)).toBe(true);
  const replicas = (): number => options.replicas ?? 1;
  const limits = openKeyLimits({ cache, db: {} as Db, clock: systemClock, processId: randomUUID(), replicas });
  closing.push(() => cache.close());
  closing.push(() => limits.close());
  // The first answer of Redis: from here on the generation is known.
  await limits.admit(keyWith(hourly(10), later()));
  return { limits, cache };
}

async function admitted(limits: KeyLimits, key: LimitedKey, calls: number): Promise<number> {
  const answers = await Promise.all(Array.from({ length: calls }, async () => await limits.admit(key)));
  return answers.filter((answer) => answer.admitted).length;
}

describe.each(redisKinds)("with Redis: %s", (kind) => {
  test("an old key that may have been counted before the generation has nothing left, and gets it back at its rate", async () => {
    const { limits } = await open(await startServer(kind));
    const old = keyWith({ name: "second", limit: 100, window_seconds: 10 }, minuteAgo());
    const from = performance.now();
    // What has come back in the moment since Redis was met.
    const atOnce = await admitted(limits, old, 256);
    expect(atOnce).toBeLessThan(60);
    let total = atOnce;
    while (total < 40) {
      const answer = await limits.admit(old);
      if (answer.admitted) total += 1;
      else await delay(answer.retryAfterMs);
    }
    expect(total).toBeLessThanOrEqual(((performance.now() - from) / 1000 + 2) * 10);
    expect(await admitted(limits, keyWith(hourly(100), later()), 256)).toBe(100);
  });

  test("a flush gives nobody a second limit, and a key made after it has its whole one", async () => {
    const server = await startServer(kind);
    const { limits, cache } = await open(server);
    const key = keyWith(hourly(100), later());
    expect(await admitted(limits, key, 256)).toBe(100);
    await cache.client.flushall();
    const old = { ...key, created_at: new Date(minuteAgo()).toISOString() };
    const other = await open(server);
    expect(await admitted(other.limits, old, 256)).toBe(0);
    await delay(1100);
    expect(await admitted(limits, old, 256)).toBe(0);
    expect(await admitted(other.limits, keyWith(hourly(50), later()), 256)).toBe(50);
  });

  test("nor does a restart", async () => {
    const server = await startServer(kind);
    const { limits, cache } = await open(server, { timeoutMs: 5000 });
    const key = keyWith(hourly(100), minuteAgo());
    // Fresh for the first generation: it is made as if the key had been made after it.
    expect(await admitted(limits, { ...key, created_at: new Date(later()).toISOString() }, 256)).toBe(100);
    await server.kill();
    await server.start();
    await cache.waitUntilReady(10_000);
    const other = await open(server);
    expect(await admitted(other.limits, key, 256)).toBe(0);
    await waitFor(async () => (await admitted(limits, key, 1)) === 0);
  });

  test("states of another run of the server count as lost, though they are still there", async () => {
    const server = await startServer(kind);
    const { limits, cache } = await open(server);
    const key = keyWith(hourly(100), later());
    expect(await admitted(limits, key, 10)).toBe(10);
    const marker = (await cache.client.get(markerKey)) ?? "";
    // As after a failover to a replica that had not heard of the last calls.
    await cache.client.set(markerKey, marker.replace(/^\S+/, "otherrun.otherid"));
    const old = { ...key, created_at: new Date(minuteAgo()).toISOString() };
    const other = await open(server);
    expect(await admitted(other.limits, old, 256)).toBe(0);
  });

  test("a Redis that hangs costs a caller one deadline, and each process then keeps its share", async () => {
    const server = await startServer(kind);
    const [one, other] = [await open(server, { replicas: 2, timeoutMs: 50 }), await open(server, { replicas: 2, timeoutMs: 50 })];
    const key = keyWith(hourly(40), later());
    await waitFor(async () => (await one.limits.admit(keyWith(hourly(40), later()))).admitted && one.cache.isReady());
    server.pause();
    let total = 0;
    let slow = 0;
    for (const { limits } of [one, other]) {
      for (let call = 0; call < 60; call++) {
        const from = performance.now();
        const answer = await limits.admit(key);
        if (performance.now() - from > 40) slow += 1;
        if (answer.admitted) total += 1;
      }
    }
    // The deadline of each of the two processes, with room for a machine that was busy elsewhere.
    expect(slow).toBeLessThanOrEqual(4);
    expect(total).toBe(40);
    server.resume();
    await waitFor(async () => one.cache.isReady() && other.cache.isReady());
    // What was admitted without it is counted when it is back.
    await delay(200);
    expect(await admitted(one.limits, key, 256)).toBe(0);
    expect(await admitted(other.limits, key, 256)).toBe(0);
    const late = await open(server);
    expect(await admitted(late.limits, key, 256)).toBe(0);
  });

  test("outages that follow one another admit no more than one window beyond the limit, all together", async () => {
    const server = await startServer(kind);
    const opened = [
      await open(server, { replicas: 3 }),
      await open(server, { replicas: 3 }),
      await open(server, { replicas: 3 }),
    ];
    const key = keyWith(hourly(90), later());
    let total = 0;
    for (const { limits } of opened) total = (await admitted(limits, key, 20)) + total;
    expect(total).toBe(60);
    for (let outage = 0; outage < 3; outage++) {
      await server.kill();
      await waitFor(() => opened.every(({ cache }) => !cache.isReady()));
      for (const { limits } of opened) total = (await admitted(limits, key, 100)) + total;
      await server.start();
      await waitFor(() => opened.every(({ cache }) => cache.isReady()));
      await delay(100);
      for (const { limits } of opened) total = (await admitted(limits, key, 100)) + total;
    }
    expect(total).toBeLessThanOrEqual(180);
    expect(total).toBeGreaterThanOrEqual(90);
  });

  test("calls never fail while Redis is killed under them, and none waits longer than a deadline", async () => {
    const server = await startServer(kind);
    const { limits, cache } = await open(server, { timeoutMs: 50 });
    const key = keyWith({ name: "second", limit: 100_000, window_seconds: 1 }, later());
    let longest = 0;
    let calls = 0;
    const stopping = new AbortController();
    const caller = async (): Promise<void> => {
      while (!stopping.signal.aborted) {
        const from = performance.now();
        await limits.admit(key);
        longest = Math.max(longest, performance.now() - from);
        calls += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const callers = Promise.all(Array.from({ length: 16 }, caller));
    await waitFor(() => calls > 1000);
    await server.kill();
    await waitFor(() => !cache.isReady());
    const before = calls;
    await waitFor(() => calls > before + 1000);
    await server.start();
    await waitFor(() => cache.isReady());
    stopping.abort();
    await callers;
    // 50 ms and what a busy machine adds to them.
    expect(longest).toBeLessThan(500);
  });
});

/** The wall clock of this process, and so of a Redis inside it, stepped by the operator. */
function steppedClock(): (ms: number) => void {
  const real = Date.now;
  let step = 0;
  Date.now = () => real() + step;
  closing.push(async () => void (Date.now = real));
  return (ms) => (step += ms);
}

test.each([
  ["ahead by an hour", 3_600_000],
  ["ahead by half a minute", 30_000],
  ["back by an hour", -3_600_000],
])("a wall clock that is stepped %s gives nobody a call and takes none", async (_, ms) => {
  const step = steppedClock();
  const server = await startTestRedis({ preferEmbedded: true });
  closing.push(() => server.stop());
  const { limits, cache } = await open(server);
  const key = keyWith({ name: "minute", limit: 600, window_seconds: 60 }, later());
  const from = performance.now();
  expect(await admitted(limits, key, 600)).toBe(600);
  step(ms);
  let total = 600;
  while (performance.now() - from < 1500) {
    total = (await admitted(limits, key, 20)) + total;
    await delay(20);
  }
  const allowed = 600 + ((performance.now() - from) / 1000 + slackSeconds) * 10;
  expect(total).toBeLessThanOrEqual(allowed);
  expect(total).toBeGreaterThanOrEqual(607);
  expect(cache.isReady()).toBe(true);
});
