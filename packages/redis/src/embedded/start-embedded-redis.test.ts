/** What the embedded server does with clients that are broken, greedy or hostile. */
import { createConnection, type Socket } from "node:net";
import { waitFor } from "@nexus/testing";
import { Redis } from "ioredis";
import { afterEach, describe, expect, test } from "vitest";
import { type EmbeddedRedis, type EmbeddedRedisOptions, startEmbeddedRedis } from "./start-embedded-redis.ts";

const password = "the-password-of-this-test";
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function start(options: EmbeddedRedisOptions = {}): Promise<EmbeddedRedis> {
  const server = await startEmbeddedRedis({ password, ...options });
  closing.push(() => server.stop());
  return server;
}

function connect(server: EmbeddedRedis): { socket: Socket; heard(): string; closed: Promise<void> } {
  const socket = createConnection({ port: server.port, host: "127.0.0.1" });
  closing.push(() => socket.destroy());
  let heard = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => (heard += chunk));
  socket.on("error", () => {});
  return { socket, heard: () => heard, closed: new Promise((resolve) => socket.once("close", () => resolve())) };
}

async function client(server: EmbeddedRedis): Promise<Redis> {
  const redis = new Redis(server.target.url, { protocol: 2, retryStrategy: null });
  redis.on("error", () => {});
  closing.push(() => redis.disconnect());
  await redis.ping();
  return redis;
}

const bulk = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
const login = bulk("AUTH", password);

describe("what is not the protocol ends the connection with one error, and nobody else notices", () => {
  test.each([
    ["an HTTP request", "POST / HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an inline command", "PING\r\n"],
    ["bytes at random", "\u0000\u00ff\u0001{}[]\r\n\r\n"],
    ["a negative bulk", "*1\r\n$-1\r\n"],
    ["a bulk without an end", "*1\r\n$4\r\nPINGxx"],
    ["no number", "*x\r\n"],
    ["an endless number", `*${"1".repeat(64)}`],
    ["a number beyond all bounds", "*99999999999\r\n"],
    ["more arguments than a stranger may send", "*11\r\n"],
    ["a bulk longer than a stranger may send", "*2\r\n$4\r\nAUTH\r\n$16385\r\n"],
    ["more arguments than anybody may send", `${login}*65537\r\n`],
    ["a bulk longer than anybody may send", `${login}*2\r\n$3\r\nGET\r\n$8388609\r\n`],
    ["a command longer than anybody may send", `${login}*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8388608\r\n`],
  ])("%s", async (_what, bytes) => {
    const server = await start();
    const bystander = await client(server);
    const broken = connect(server);
    broken.socket.write(bytes, "latin1");
    await broken.closed;
    expect(broken.heard()).toMatch(/^(\+OK\r\n)?-ERR Protocol error: [^\r\n]*\r\n$/);
    expect(await bystander.ping()).toBe("PONG");
  });
});

test("an empty command is answered with nothing, and a command cut into single bytes is understood", async () => {
  const server = await start();
  const slow = connect(server);
  slow.socket.setNoDelay(true);
  for (const byte of `*0\r\n*-1\r\n${login}${bulk("SET", "k", "a\r\nb")}${bulk("GET", "k")}`) {
    slow.socket.write(byte, "latin1");
    await new Promise((resolve) => setImmediate(resolve));
  }
  await waitFor(() => slow.heard() === "+OK\r\n+OK\r\n$4\r\na\r\nb\r\n");
});

test("whoever does not show the password in time is put out", async () => {
  const server = await start({ limits: { authenticateWithinMs: 100 } });
  const [stranger, friend] = [connect(server), connect(server)];
  friend.socket.write(login);
  await stranger.closed;
  friend.socket.write(bulk("PING"));
  await waitFor(() => friend.heard() === "+OK\r\n+PONG\r\n");
});

test("a client that reads nothing is cut off before it fills the memory, and others go on", async () => {
  const server = await start({ limits: { unreadBytes: 2_000_000 } });
  const publisher = await client(server);
  const deaf = connect(server);
  deaf.socket.write(login + bulk("SUBSCRIBE", "news"));
  await waitFor(() => deaf.heard().includes("subscribe"));
  deaf.socket.pause();
  const message = "x".repeat(500_000);
  await waitFor(async () => (await publisher.publish("news", message)) === 0);
  expect(await publisher.ping()).toBe("PONG");
});

test("a client that asks for more than it reads is read no further until it has caught up", async () => {
  const server = await start();
  const other = await client(server);
  await other.set("big", "x".repeat(1_000_000));
  const greedy = connect(server);
  greedy.socket.pause();
  greedy.socket.write(login + bulk("GET", "big").repeat(14));
  await waitFor(async () => (await other.ping()) === "PONG");
  greedy.socket.resume();
  await waitFor(() => greedy.heard().length > 14_000_000);
  expect(await other.ping()).toBe("PONG");
});

test("when the memory is used up what grows is refused, what shrinks is not, and expired keys make room", async () => {
  const server = await start({ maxBytes: 1_000_000 });
  const redis = await client(server);
  const value = "x".repeat(100_000);
  for (let index = 0; index < 9; index++) await redis.set(`short${index}`, value, "PX", 300);
  await redis.set("last", "x".repeat(200_000));
  const refused = { message: "OOM command not allowed when used memory > 'maxmemory'." };
  await expect(redis.set("more", value)).rejects.toMatchObject(refused);
  await expect(redis.hset("h", "f", "v")).rejects.toMatchObject(refused);
  await expect(redis.zadd("z", 1, "a")).rejects.toMatchObject(refused);
  await expect(redis.incr("n")).rejects.toMatchObject(refused);
  await expect(redis.eval("return redis.call('SET', 'k', 'v')", 0)).rejects.toThrow(/^OOM /);
  expect(await redis.get("last")).toHaveLength(200_000);
  await waitFor(async () => (await redis.set("more", value).catch(() => undefined)) === "OK");
  expect(await redis.del("last", "more")).toBe(2);
  await waitFor(async () => (await redis.info()).includes("used_memory:0"));
});

test("keys that nobody asks for are removed when their time is over", async () => {
  const redis = await client(await start());
  for (let index = 0; index < 100; index++) await redis.set(`k${index}`, "v", "PX", 50);
  expect(await redis.info()).not.toContain("used_memory:0\r\n");
  await waitFor(async () => (await redis.info()).includes("used_memory:0\r\n"));
});

test("memory is counted back to nothing, whatever was stored", async () => {
  const redis = await client(await start());
  await redis.hset("h", { a: "1", b: "22", c: "" });
  await redis.hset("h", "a", "longer than before");
  await redis.hincrby("h", "n", 100);
  await redis.zadd("z", 1, "a", 2, "bb");
  await redis.zadd("z", 3, "a");
  await redis.sadd("s", "a", "bb");
  await redis.set("k", "v");
  await redis.set("k", "longer");
  await redis.hdel("h", "a", "b", "c", "n");
  await redis.zrem("z", "a", "bb");
  await redis.srem("s", "a", "bb");
  await redis.getdel("k");
  expect(await redis.info()).toContain("used_memory:0\r\n");
});

describe("scripts", () => {
  test.each([
    ["that never ends", "while true do end"],
    ["that catches its own end", "while true do pcall(function() while true do end end) end"],
    ["that recurses into pcall", "local function f() pcall(f) f() end f()"],
  ])("one %s is stopped, and the server goes on", async (_what, script) => {
    const redis = await client(await start({ scriptMs: 50 }));
    await expect(redis.eval(script, 0)).rejects.toThrow(/ran longer than 50 ms|stack overflow/);
    expect(await redis.eval("return 1", 0)).toBe(1);
  });

  test.each([
    ["one great text", "return ('x'):rep(1e9)"],
    ["texts that double", "local x = 'x' while true do x = x .. x end"],
    ["a table of texts", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6) .. i end"],
  ])("one that takes all memory with %s fails, and the server goes on", async (_what, script) => {
    const redis = await client(await start({ scriptMs: 5000 }));
    await expect(redis.eval(script, 0)).rejects.toThrow(/not enough memory|resulting string too large/);
    expect(await redis.eval("return redis.call('SET', 'k', ('x'):rep(1e6))", 0)).toBe("OK");
  });

  test("one that returns itself within itself, or nests without end, is an error or cut, never a crash", async () => {
    const redis = await client(await start());
    await expect(redis.eval("local t = {} t[1] = t return t", 0)).resolves.toBeDefined();
    await expect(redis.eval("local function f() return f() + 1 end return f()", 0)).rejects.toThrow(/stack overflow|ran longer/);
    await expect(redis.eval("return redis.call('SET', setmetatable({}, {__index = error}), 1)", 0)).rejects.toThrow(
      /arguments must be/,
    );
    await expect(redis.eval("return setmetatable({}, {__index = function() error('x') end})", 0)).resolves.toEqual([]);
    await expect(redis.eval("error(setmetatable({}, {__index = error, __tostring = error}))", 0)).rejects.toThrow(
      /raised no text/,
    );
    expect(await redis.eval("return 1", 0)).toBe(1);
  });

  test.each([
    "return os.getenv('PATH')",
    "return io.open('/etc/passwd')",
    "return debug.getinfo(1)",
    "return getmetatable('').__index",
    "getmetatable('').__index = nil",
    "setmetatable(_G, nil)",
    "setmetatable(_G, {})",
    "rawset(string, 'x', 1)",
    "_G.x = 1",
    "_ENV.x = 1",
    "return load('return 1')()",
    "return string.dump(function() end)",
    "return coroutine.create(function() end)",
    "return collectgarbage('count')",
  ])("one cannot leave its sandbox by %s", async (script) => {
    const redis = await client(await start());
    await expect(redis.eval(script, 0)).rejects.toThrow(/^ERR /);
    await expect(redis.eval("return x", 0)).rejects.toThrow(/nonexistent global/);
    expect(await redis.eval("return ('abc'):upper()", 0)).toBe("ABC");
  });

  test("a million calls' worth of new scripts does not fill the memory", async () => {
    const redis = await client(await start());
    for (let index = 0; index < 3000; index++) await redis.eval(`return ${index}`, 0);
    expect(await redis.eval("return 'still here'", 0)).toBe("still here");
  });
});

test("an unmodified ioredis with its own settings works: handshake, pipeline, transaction, script, subscription", async () => {
  const server = await start();
  const redis = new Redis(server.target.url, { connectionName: "plain" });
  closing.push(() => redis.disconnect());
  expect(await redis.set("k", "v", "EX", 10)).toBe("OK");
  expect(await redis.pipeline().get("k").incr("n").exec()).toEqual([
    [null, "v"],
    [null, 1],
  ]);
  expect(await redis.multi().incr("n").hset("h", "f", "v").exec()).toEqual([
    [null, 2],
    [null, 1],
  ]);
  redis.defineCommand("twice", { numberOfKeys: 1, lua: "return redis.call('GET', KEYS[1]) .. redis.call('GET', KEYS[1])" });
  expect(await (redis as Redis & { twice(key: string): Promise<string> }).twice("k")).toBe("vv");
  expect(await redis.hgetall("h")).toEqual({ f: "v" });
  const subscriber = redis.duplicate();
  closing.push(() => subscriber.disconnect());
  const heard: string[] = [];
  subscriber.on("message", (channel, message) => heard.push(`${channel}:${message}`));
  await subscriber.subscribe("news");
  await redis.publish("news", "hello");
  await waitFor(() => heard[0] === "news:hello");
  expect(await redis.quit()).toBe("OK");
});

test("stopping cuts every client and frees the port at once", async () => {
  const server = await start();
  const idle = connect(server);
  idle.socket.write(login);
  await waitFor(() => idle.heard() !== "");
  await server.stop();
  await idle.closed;
  const again = await start({ port: server.port });
  expect(again.port).toBe(server.port);
  await expect(startEmbeddedRedis({ port: server.port })).rejects.toMatchObject({ code: "EADDRINUSE" });
});

test("it listens on loopback alone", async () => {
  const server = await start();
  const socket = createConnection({ port: server.port, host: "127.0.0.2" });
  const code = await new Promise((resolve) =>
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code)).once("connect", () => resolve("connected")),
  );
  socket.destroy();
  expect(code).toBe("ECONNREFUSED");
});
