/** What a caller of the cache sees when the process behind it is stopped, killed, emptied or has another password. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { waitFor } from "@nexus/testing";
import { afterEach, describe, expect, test } from "vitest";
import { CacheUnavailable } from "./cache-unavailable.ts";
import { defineLua } from "./lua-function.ts";
import { type Cache, type CacheOptions, openRedis } from "./open-redis.ts";
import type { RedisTarget } from "./redis-target.ts";
import { findRedisServer } from "./server/find-redis-server.ts";
import { spawnRedisServer } from "./server/spawn-redis-server.ts";

interface TestProcess {
  target: RedisTarget;
  port: number;
  pid: number;
  stop(): Promise<void>;
}
interface Kind {
  name: string;
  start(options?: { port?: number; password?: string }): Promise<TestProcess>;
}

/** The embedded server in a process of its own, so that it can be stopped and killed like any other. */
async function startEmbeddedProcess(options: { port?: number; password?: string } = {}): Promise<TestProcess> {
  const module = fileURLToPath(new URL("embedded/start-embedded-redis.ts", import.meta.url));
  const program = `const { startEmbeddedRedis } = await import(${JSON.stringify(module)});
    const { target, port } = await startEmbeddedRedis(${JSON.stringify(options)});
    console.log(JSON.stringify({ target, port }));`;
  const child: ChildProcess = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let printed = "";
  child.stdout?.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  const { target, port } = await waitFor(() => JSON.parse(printed) as { target: RedisTarget; port: number });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  return { target, port, pid: child.pid!, stop };
}

const kinds: Kind[] = [{ name: "the embedded server", start: startEmbeddedProcess }];
const binary = await findRedisServer(process.env["PATH"]);
if (binary !== undefined) kinds.push({ name: "a real Redis", start: (options) => spawnRedisServer({ binary, ...options }) });

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function start(kind: Kind, options?: { port?: number; password?: string }): Promise<TestProcess> {
  const server = await kind.start(options);
  closing.push(() => server.stop());
  return server;
}

function open(target: RedisTarget, options?: CacheOptions): Cache {
  const cache = openRedis(target, options);
  closing.push(() => cache.close());
  return cache;
}

async function openReady(target: RedisTarget, options?: CacheOptions): Promise<Cache> {
  const cache = open(target, options);
  expect(await cache.waitUntilReady(10_000)).toBe(true);
  return cache;
}

/** What a call fails with, and after how many milliseconds. */
async function failureOf(work: () => Promise<unknown>): Promise<{ error: unknown; ms: number }> {
  const from = performance.now();
  const error: unknown = await work().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { error, ms: performance.now() - from };
}

/** How many of so many calls do not fail in the same turn of the event loop: without a timer and without the network. */
async function countLate(cache: Cache, calls: number): Promise<number> {
  let late = 0;
  for (let call = 0; call < calls; call++) {
    const failed = failureOf(() => cache.client.get("k"));
    const first = await Promise.race([failed, new Promise<"late">((resolve) => setImmediate(() => resolve("late")))]);
    if (first === "late") late += 1;
    expect((await failed).error).toBeInstanceOf(CacheUnavailable);
  }
  return late;
}

/** Where the deadline is not the subject: the tests share their processor with many others. */
const patient: CacheOptions = { commandTimeoutMs: 5000 };

const increment = defineLua({
  name: "test_increment",
  version: 1,
  keyCount: 1,
  script: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
});

describe.each(kinds)("on $name", (kind) => {
  test("a stopped Redis costs one deadline, then every call fails at once, and it is back when it goes on", async () => {
    const server = await start(kind);
    const states: string[] = [];
    const cache = await openReady(server.target, { giveUpMs: 60_000, onStateChange: (state) => states.push(state) });
    let reconnects = 0;
    cache.onReconnect(() => (reconnects += 1));
    process.kill(server.pid, "SIGSTOP");
    closing.push(async () => void process.kill(server.pid, "SIGCONT"));

    const first = await failureOf(() => cache.client.get("k"));
    expect(first.error).toBeInstanceOf(CacheUnavailable);
    expect(first.ms).toBeGreaterThan(45);
    expect(await countLate(cache, 200)).toBe(0);
    expect(cache.isReady()).toBe(false);
    expect(cache.state).toBe("hung");
    expect((await failureOf(() => cache.call(increment, ["n"], [1]))).error).toBeInstanceOf(CacheUnavailable);
    expect((await failureOf(() => cache.ping())).error).toBeInstanceOf(CacheUnavailable);

    process.kill(server.pid, "SIGCONT");
    await waitFor(() => cache.isReady());
    expect(states).toEqual(["ready", "hung", "ready"]);
    expect(reconnects).toBe(1);
    await waitFor(async () => (await cache.client.set("k", "v")) === "OK");
  });

  test("calls that were under way when it stopped all end with the one deadline", async () => {
    const server = await start(kind);
    const cache = await openReady(server.target, { giveUpMs: 60_000 });
    process.kill(server.pid, "SIGSTOP");
    const from = performance.now();
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => cache.client.incr("n")));
    // 100 deadlines one after the other would be five seconds.
    expect(performance.now() - from).toBeLessThan(2000);
    expect(results.every((result) => result.status === "rejected" && result.reason instanceof CacheUnavailable)).toBe(true);
    process.kill(server.pid, "SIGCONT");
    await waitFor(() => cache.isReady());
  });

  test("a Redis that stays stopped is given up, tried again and again, and found when it goes on", async () => {
    const server = await start(kind);
    const states: string[] = [];
    const cache = await openReady(server.target, { giveUpMs: 100, onStateChange: (state) => states.push(state) });
    process.kill(server.pid, "SIGSTOP");
    await failureOf(() => cache.client.get("k"));
    await waitFor(() => cache.state === "away");
    // Through several handshakes that nobody answers.
    await waitFor(() => cache.client.status === "connect");
    await waitFor(() => cache.client.status === "reconnecting");
    expect(await countLate(cache, 50)).toBe(0);
    process.kill(server.pid, "SIGCONT");
    await waitFor(() => cache.isReady());
    expect(states).toEqual(["ready", "hung", "away", "ready"]);
  });

  test("killed and started again on the same port it is found again, and the scripts with it", async () => {
    const password = "one-password-for-both";
    const server = await start(kind, { password });
    const cache = await openReady(server.target, patient);
    let reconnects = 0;
    cache.onReconnect(() => (reconnects += 1));
    expect(await cache.call(increment, ["n"], [5])).toBe(5);
    process.kill(server.pid, "SIGKILL");
    await waitFor(() => !cache.isReady());
    expect(await countLate(cache, 100)).toBe(0);
    await server.stop();
    await start(kind, { port: server.port, password });
    await waitFor(() => cache.isReady());
    expect(await cache.call(increment, ["n"], [5])).toBe(5);
    expect(await cache.call(increment, ["n"], [5])).toBe(10);
    expect(reconnects).toBe(1);
  });

  test("a script that the server has forgotten is sent again", async () => {
    const server = await start(kind);
    const cache = await openReady(server.target, patient);
    expect(await cache.call(increment, ["n"], [1])).toBe(1);
    await cache.client.script("FLUSH");
    expect(await cache.call(increment, ["n"], [1])).toBe(2);
    await cache.client.flushall();
    expect(await cache.call(increment, ["n"], [1])).toBe(1);
  });

  test("the wrong password is a state with a reason, told once, and shows in no message", async () => {
    const server = await start(kind);
    const told: (string | undefined)[][] = [];
    const lines: string[] = [];
    const log = (fields: object, message: string): void => void lines.push(JSON.stringify(fields) + message);
    const wrong = { url: server.target.url.replace(/:[^:@]+@/, ":not-the-password@") };
    const cache = open(wrong, { onStateChange: (...args) => told.push(args), logger: { info: log, warn: log } });
    await waitFor(() => cache.state === "refused");
    await waitFor(() => cache.client.status === "reconnecting");
    const { error } = await failureOf(() => cache.ping());
    expect(error).toBeInstanceOf(CacheUnavailable);
    expect(told).toEqual([["refused", expect.stringMatching(/^WRONGPASS/)]]);
    expect(lines).toHaveLength(1);
    expect(JSON.stringify(told) + lines.join("") + JSON.stringify(error) + String((error as Error).stack)).not.toContain(
      "not-the-password",
    );
    expect(await cache.waitUntilReady(1)).toBe(false);
  });

  test("no password where one is needed is refused too", async () => {
    const server = await start(kind);
    const cache = open({ url: server.target.url.replace(/:[^:@]+@/, "") });
    await waitFor(() => cache.state === "refused");
    expect((await failureOf(() => cache.client.get("k"))).error).toBeInstanceOf(CacheUnavailable);
  });

  test("a mistake of ours stays what it is and opens no breaker", async () => {
    const server = await start(kind);
    const cache = await openReady(server.target, patient);
    await cache.client.hset("h", "f", "v");
    await expect(cache.client.get("h")).rejects.toMatchObject({
      name: "ReplyError",
      message: expect.stringMatching(/^WRONGTYPE/) as string,
    });
    await expect(cache.call(increment, ["h"], [1])).rejects.toMatchObject({ name: "ReplyError" });
    await expect(cache.call(increment, [], [1])).rejects.toThrow(TypeError);
    await expect(cache.call(increment, ["n"], [0.5])).rejects.toThrow(TypeError);
    await expect(cache.call(increment, ["n"], [2 ** 53])).rejects.toThrow(TypeError);
    expect(cache.isReady()).toBe(true);
  });

  test("a subscription is there again after a restart", async () => {
    const password = "one-password-for-both";
    const server = await start(kind, { password });
    const subscriber = open(server.target, patient).client;
    const heard: string[] = [];
    subscriber.on("message", (_channel, message) => heard.push(message));
    await waitFor(() => subscriber.status === "ready");
    await subscriber.subscribe("news");
    await server.stop();
    const again = await start(kind, { port: server.port, password });
    const publisher = await openReady(again.target, patient);
    await waitFor(async () => (await publisher.client.publish("news", "back")) > 0);
    await waitFor(() => heard.includes("back"));
  });

  test("closing is quick though Redis hangs, and what comes after it fails", async () => {
    const server = await start(kind);
    const cache = await openReady(server.target);
    process.kill(server.pid, "SIGSTOP");
    const under = failureOf(() => cache.client.get("k"));
    const from = performance.now();
    await cache.close();
    expect(performance.now() - from).toBeLessThan(500);
    expect((await under).error).toBeInstanceOf(CacheUnavailable);
    expect((await failureOf(() => cache.client.get("k"))).error).toBeInstanceOf(CacheUnavailable);
    await cache.close();
    process.kill(server.pid, "SIGCONT");
  });
});

test("nothing listens there: calls fail at once, one state is told, and the return of Redis counts as a reconnect", async () => {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  const states: string[] = [];
  const cache = open(
    { url: `redis://:a-password-of-ours@127.0.0.1:${port}/0` },
    { onStateChange: (state) => states.push(state) },
  );
  let reconnects = 0;
  cache.onReconnect(() => (reconnects += 1));
  expect((await failureOf(() => cache.client.set("k", "v"))).error).toBeInstanceOf(CacheUnavailable);
  await waitFor(() => cache.state === "away");
  expect(await countLate(cache, 50)).toBe(0);
  const server = await start(kinds[0]!, { port, password: "a-password-of-ours" });
  await waitFor(() => cache.isReady());
  expect(states).toEqual(["away", "ready"]);
  expect(reconnects).toBe(1);
  expect(server.port).toBe(port);
});

test("a server that accepts and never says a word is away, not waited for", async () => {
  const silent = createServer((socket) => socket.on("error", () => {}).resume());
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => silent.close(() => resolve())));
  const cache = open({ url: `redis://127.0.0.1:${(silent.address() as { port: number }).port}` });
  expect(await countLate(cache, 20)).toBe(0);
  await waitFor(() => cache.state === "away");
  expect(await countLate(cache, 20)).toBe(0);
});

test("a server that lies about the protocol is away and harms nobody", async () => {
  const liar = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
  });
  await new Promise<void>((resolve) => liar.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => liar.close(() => resolve())));
  const cache = open({ url: `redis://127.0.0.1:${(liar.address() as { port: number }).port}` });
  await waitFor(() => cache.state === "away");
  expect(await countLate(cache, 20)).toBe(0);
});

test("the deadline leaves out time in which this process was busy", async () => {
  const server = await start(kinds[0]!);
  const cache = await openReady(server.target);
  const answer = cache.client.set("k", "v");
  await new Promise((resolve) => setImmediate(resolve));
  const until = performance.now() + 120;
  while (performance.now() < until);
  expect(await answer).toBe("OK");
  expect(cache.isReady()).toBe(true);
});
