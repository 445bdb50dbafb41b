/** The Lua functions of the product, on the embedded server and, where one is installed, on a real Redis. */
import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEmbeddedRedis } from "../embedded/start-embedded-redis.ts";
import { type Cache, openRedis } from "../open-redis.ts";
import { findRedisServer } from "../server/find-redis-server.ts";
import { spawnRedisServer } from "../server/spawn-redis-server.ts";
import { fillSession, readSession, revokeSessions, sessionEpochOf } from "./session-cache.ts";
import { takeFromWindows, type Window } from "./take-from-windows.ts";

const binary = await findRedisServer(process.env["PATH"]);
const kinds = [
  { name: "the embedded server", start: () => startEmbeddedRedis() },
  ...(binary === undefined ? [] : [{ name: "a real Redis", start: () => spawnRedisServer({ binary }) }]),
];

describe.each(kinds)("on $name", ({ start }) => {
  let server: Awaited<ReturnType<typeof start>>;
  let cache: Cache;
  beforeAll(async () => {
    server = await start();
    // Here it counts what is answered, not how fast: the tests share their processor with many others.
    cache = openRedis(server.target, { commandTimeoutMs: 10_000 });
    await cache.waitUntilReady(10_000);
  });
  afterAll(async () => {
    await cache.close();
    await server.stop();
  });
  const windowOf = (limit: number, periodSeconds: number): Window => ({ name: randomUUID(), limit, periodSeconds });

  test("a window admits its limit at once, then refuses and says when", async () => {
    const window = windowOf(3, 3600);
    const first = await takeFromWindows(cache, [window]);
    expect(first).toMatchObject({ allowed: true, remaining: 2, retryAfterMs: 0 });
    expect(first.resetMs).toBe(1_200_000);
    expect(await takeFromWindows(cache, [window])).toMatchObject({ allowed: true, remaining: 1 });
    expect(await takeFromWindows(cache, [window])).toMatchObject({ allowed: true, remaining: 0 });
    const refused = await takeFromWindows(cache, [window]);
    expect(refused).toMatchObject({ allowed: false, remaining: 0 });
    expect(refused.retryAfterMs).toBeGreaterThan(1_190_000);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(1_200_000);
    expect(refused.resetMs).toBeGreaterThan(3_590_000);
  });

  test("after the time that a refusal names, and not before it, a call is admitted", async () => {
    const window = windowOf(1, 0.3);
    expect((await takeFromWindows(cache, [window])).allowed).toBe(true);
    const refused = await takeFromWindows(cache, [window]);
    const from = Date.now();
    expect(refused.allowed).toBe(false);
    await waitFor(async () => (await takeFromWindows(cache, [window])).allowed);
    // The two clocks may differ by the millisecond they are read in.
    expect(Date.now() - from).toBeGreaterThanOrEqual(refused.retryAfterMs - 5);
  });

  test("when one window refuses, no window is charged", async () => {
    const [small, large] = [windowOf(2, 3600), windowOf(100, 3600)];
    for (let call = 0; call < 10; call++) await takeFromWindows(cache, [large, small]);
    expect(await takeFromWindows(cache, [large], 0)).toMatchObject({ allowed: true, remaining: 98 });
    expect(await takeFromWindows(cache, [small], 0)).toMatchObject({ allowed: true, remaining: 0 });
  });

  test("a call may cost several, nothing, more than there ever is, or be given back", async () => {
    const window = windowOf(10, 3600);
    expect(await takeFromWindows(cache, [window], 4)).toMatchObject({ allowed: true, remaining: 6 });
    expect(await takeFromWindows(cache, [window], 7)).toMatchObject({ allowed: false, remaining: 6 });
    expect(await takeFromWindows(cache, [window], 11)).toMatchObject({ allowed: false, retryAfterMs: Infinity });
    expect(await takeFromWindows(cache, [window], -1)).toMatchObject({ allowed: true, remaining: 7 });
    expect(await takeFromWindows(cache, [window], -100)).toMatchObject({ allowed: true, remaining: 10, resetMs: 0 });
    expect(await takeFromWindows(cache, [window], 10)).toMatchObject({ allowed: true, remaining: 0 });
  });

  test("256 callers at once never get more than the limit, over one window or several", async () => {
    const windows = [windowOf(100, 36_000), windowOf(1000, 36_000), windowOf(150, 36_000)];
    const verdicts = await Promise.all(Array.from({ length: 256 }, () => takeFromWindows(cache, windows)));
    expect(verdicts.filter(({ allowed }) => allowed)).toHaveLength(100);
    expect(new Set(verdicts.filter(({ allowed }) => allowed).map(({ remaining }) => remaining)).size).toBe(100);
    expect(await takeFromWindows(cache, windows.slice(1), 0)).toMatchObject({ remaining: 50 });
  });

  test("a window that is refilled all the time admits no more than its rate", async () => {
    const window = windowOf(5, 0.5);
    const from = performance.now();
    let admitted = 0;
    while (performance.now() - from < 1000) admitted += (await takeFromWindows(cache, [window])).allowed ? 1 : 0;
    const elapsed = performance.now() - from;
    expect(admitted).toBeLessThanOrEqual(5 + Math.floor(elapsed / 100) + 1);
    expect(admitted).toBeGreaterThanOrEqual(5);
  });

  test("after a flush a missing window is what the caller says: as new, or used up", async () => {
    const window = windowOf(5, 10);
    for (let call = 0; call < 5; call++) await takeFromWindows(cache, [window]);
    await cache.client.flushall();
    expect(await takeFromWindows(cache, [window], 1, "full")).toMatchObject({ allowed: false, remaining: 0 });
    expect((await takeFromWindows(cache, [window], 1, "full")).retryAfterMs).toBeLessThanOrEqual(2000);
    // Its state is kept by now: the second caller is not told again that it was missing.
    expect((await takeFromWindows(cache, [window], 1, "full")).resetMs).toBeLessThanOrEqual(10_000);
    await cache.client.flushall();
    expect(await takeFromWindows(cache, [window])).toMatchObject({ allowed: true, remaining: 4 });
  });

  test("a limit that cannot be counted is refused before it is asked", async () => {
    for (const limit of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
      await expect(takeFromWindows(cache, [windowOf(limit, 60)])).rejects.toThrow(RangeError);
    }
  });

  const someone = () => ({ userId: `usr_${randomUUID()}`, tokenHash: randomUUID().replaceAll("-", "") });
  const value = JSON.stringify({ name: "Zoë \u{1F511}", text: "a b\nc\0d" });

  test("a session comes back as it was filled, byte by byte, and is kept for a minute at most", async () => {
    const { userId, tokenHash } = someone();
    expect(await readSession(cache, tokenHash)).toBeUndefined();
    const epoch = await sessionEpochOf(cache, userId);
    expect(await sessionEpochOf(cache, userId)).toBe(epoch);
    expect(await fillSession(cache, { tokenHash, userId, epoch, value, ttlSeconds: 3600 })).toBe(true);
    expect(await readSession(cache, tokenHash)).toBe(value);
    expect(await cache.client.ttl(`nexus:session:${tokenHash}`)).toBeLessThanOrEqual(60);
    expect(await fillSession(cache, { tokenHash, userId, epoch, value: "again", ttlSeconds: 0.5 })).toBe(false);
  });

  test("a revoked session is gone, and a fill that was under way does not bring it back", async () => {
    const { userId, tokenHash } = someone();
    const epoch = await sessionEpochOf(cache, userId);
    await fillSession(cache, { tokenHash, userId, epoch, value, ttlSeconds: 60 });
    await revokeSessions(cache, userId, [tokenHash]);
    expect(await readSession(cache, tokenHash)).toBeUndefined();
    expect(await fillSession(cache, { tokenHash, userId, epoch, value, ttlSeconds: 60 })).toBe(false);
    expect(await readSession(cache, tokenHash)).toBeUndefined();
    const next = await sessionEpochOf(cache, userId);
    expect(next).not.toBe(epoch);
    expect(await fillSession(cache, { tokenHash, userId, epoch: next, value, ttlSeconds: 60 })).toBe(true);
  });

  test("revoking a person's sessions voids also those that nobody names, and nobody else's", async () => {
    const [one, other] = [someone(), someone()];
    const second = { ...someone(), userId: one.userId };
    for (const session of [one, second, other]) {
      const epoch = await sessionEpochOf(cache, session.userId);
      await fillSession(cache, { ...session, epoch, value, ttlSeconds: 60 });
    }
    await revokeSessions(cache, one.userId);
    expect(await readSession(cache, one.tokenHash)).toBeUndefined();
    expect(await readSession(cache, second.tokenHash)).toBeUndefined();
    expect(await readSession(cache, other.tokenHash)).toBe(value);
  });

  test("a flush resurrects nothing: a fill from before it is refused", async () => {
    const { userId, tokenHash } = someone();
    const epoch = await sessionEpochOf(cache, userId);
    await cache.client.flushall();
    expect(await fillSession(cache, { tokenHash, userId, epoch, value, ttlSeconds: 60 })).toBe(false);
    expect(await sessionEpochOf(cache, userId)).not.toBe(epoch);
    expect(await fillSession(cache, { tokenHash, userId, epoch, value, ttlSeconds: 60 })).toBe(false);
    expect(await readSession(cache, tokenHash)).toBeUndefined();
  });

  test("an entry whose epoch is lost is not served", async () => {
    const { userId, tokenHash } = someone();
    const epoch = await sessionEpochOf(cache, userId);
    await fillSession(cache, { tokenHash, userId, epoch, value, ttlSeconds: 60 });
    await cache.client.del(`nexus:session-epoch:${userId}`);
    expect(await readSession(cache, tokenHash)).toBeUndefined();
    expect(await cache.client.exists(`nexus:session:${tokenHash}`)).toBe(0);
  });

  test("however fills and revocations interleave, no fill outlives a revocation after its epoch", async () => {
    const { userId, tokenHash } = someone();
    const revoked = new Set<string>();
    await Promise.all(
      Array.from({ length: 64 }, async (_, index) => {
        const epoch = await sessionEpochOf(cache, userId);
        if (index % 4 === 0) {
          await revokeSessions(cache, userId, [tokenHash]);
          revoked.add(epoch);
        } else await fillSession(cache, { tokenHash, userId, epoch, value: epoch, ttlSeconds: 60 });
      }),
    );
    const left = await readSession(cache, tokenHash);
    expect(left === undefined || !revoked.has(left)).toBe(true);
  });
});

/** What Lua 5.1 and 5.4 do not share, or do differently. */
const forbidden: readonly (readonly [what: string, pattern: RegExp])[] = [
  ["unpack", /\bunpack\b/],
  ["//", /\/\//],
  ["bit operators", /[&|]|~(?!=)|<<|>>/],
  ["goto", /\bgoto\b|::/],
  ["libraries of one side", /\b(?:cjson|cmsgpack|struct|bit|os|io|utf8|debug|coroutine|package)\s*[.[]/],
  [
    "functions of one side",
    /\b(?:math\.(?:pow|type|tointeger|ult|log10|mod)|table\.(?:getn|pack|move|maxn|foreachi?)|string\.(?:pack|packsize|gfind))\b/,
  ],
  ["loading code", /\b(?:loadstring|loadfile|dofile|load|require|setfenv|getfenv|print|collectgarbage)\b/],
  ["%d", /%[-+ #0]*\d*d(?![^'"]*[*+?\])])/],
  ["a number by tostring", /\btostring\s*\(/],
  ["more than ASCII", /[^\t\n\x20-\x7e]/],
];

function faultsOf(script: string): string[] {
  const code = script.replaceAll(/--[^\n]*/g, "");
  return forbidden.filter(([, pattern]) => pattern.test(code)).map(([what]) => what);
}

/** The text of every `defineLua` in the repository. */
async function scriptsOf(directory: string): Promise<{ file: string; script: string }[]> {
  const found: { file: string; script: string }[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/(?<!\.test)\.ts$/.test(entry.name) || entry.parentPath.includes("node_modules")) continue;
    const text = await readFile(join(entry.parentPath, entry.name), "utf8");
    for (const [, template, quoted] of text.matchAll(/defineLua\(\{[^`]*?script:\s*(?:`([^`]*)`|"([^"]*)")/g)) {
      found.push({ file: entry.name, script: template ?? quoted ?? "" });
    }
  }
  return found;
}

test("every script keeps to what Lua 5.1 and 5.4 share", async () => {
  const root = fileURLToPath(new URL("../../../../", import.meta.url));
  const scripts = (await Promise.all(["packages", "services"].map((folder) => scriptsOf(join(root, folder))))).flat();
  expect(scripts.filter(({ file }) => file === "session-cache.ts").length).toBeGreaterThanOrEqual(4);
  expect(scripts.filter(({ file }) => file === "take-from-windows.ts")).toHaveLength(1);
  for (const { file, script } of scripts) expect([file, script, faultsOf(script)]).toEqual([file, script, []]);
});

test.each([
  ["return unpack({1})", "unpack"],
  ["return 7 // 2", "//"],
  ["return 7 & 2", "bit operators"],
  ["return ~7", "bit operators"],
  ["goto done", "goto"],
  ["return cjson.encode({})", "libraries of one side"],
  ["return os.time()", "libraries of one side"],
  ["return math.pow(2, 3)", "functions of one side"],
  ["return load('return 1')()", "loading code"],
  ["return string.format('%d', 1.5)", "%d"],
  ["return tostring(1)", "a number by tostring"],
  ["return 'é'", "more than ASCII"],
])("the rule for scripts sees %j", (script, what) => {
  expect(faultsOf(script)).toContain(what);
});

test("the rule for scripts lets through what is fine", () => {
  expect(faultsOf("-- a & b // c\nif a ~= b then return string.format('%.0f', x) .. 'bits' end local position = 1")).toEqual([]);
});
