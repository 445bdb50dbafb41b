import { randomBytes } from "node:crypto";
import { openDatabase } from "@nexus/db";
import { openRedis } from "@nexus/redis";
import { type FakeClock, fakeClock, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  openSurroundings,
  setUp,
  signUp,
  startTestService,
  type Surroundings,
  type TestService,
} from "../start-test-service.test.ts";
import { findSession } from "./find-session.ts";
import { openEntry, sealEntry } from "./sealed-entry.ts";
import { openSessionCache } from "./session-cache.ts";
import { hashSessionToken } from "./session-token.ts";
import type { Session } from "./session.ts";

const minute = 60_000;
const day = 24 * 60 * minute;
const env = { NEXUS_SIGN_UP: "open" };

let surroundings: Surroundings;
let clock: FakeClock;
let one: TestService;
let two: TestService;
let people = 0;

beforeAll(async () => {
  surroundings = await openSurroundings();
  clock = fakeClock();
  one = await startTestService(surroundings, { env, clock });
  two = await startTestService(surroundings, { env, clock });
});
afterAll(async () => {
  await Promise.all([one.close(), two.close()]);
  await surroundings.close();
});
beforeEach(async () => {
  await surroundings.redis.set("open");
  await surroundings.postgres.set("open");
  await untilCacheAnswers();
  // Past the time in which a cache that was away is not believed.
  clock.advance(2 * minute);
});

const newPerson = () => signUp(one, `person${people++}@example.org`);
const signedIn = async (service: TestService, cookie: string) => {
  const answer = await service.call("GET", "/api/auth/get-session", { cookie });
  return answer.status === 200 && answer.json !== null;
};
const signOut = (service: TestService, cookie: string) => service.call("POST", "/api/auth/sign-out", { cookie, body: {} });
const owner = () => surroundings.database.openOwner().db;
const rowOf = async (cookie: string) =>
  await owner()
    .selectFrom("sessions")
    .selectAll()
    .where("token_hash", "=", hashSessionToken(cookie.split("=")[1]!)!)
    .executeTakeFirstOrThrow();
async function untilCacheAnswers() {
  await waitFor(
    async () => {
      // Health is kept for a second. Few steps: an entry in the cache must not grow too old over them.
      clock.advance(1000);
      const answers = await Promise.all([one, two].map((service) => service.call("GET", "/health")));
      return answers.every((answer) => answer.json.checks["redis:connection"][0].status === "pass");
    },
    { intervalMs: 250 },
  );
}

describe("a session", () => {
  test("ends when it was not used for the idle time, and lives on while it is used", async () => {
    const cookie = await newPerson();
    for (let days = 0; days < 14; days += 6) {
      clock.advance(6 * day);
      expect(await signedIn(one, cookie)).toBe(true);
    }
    clock.advance(7 * day);
    expect(await signedIn(one, cookie)).toBe(false);
  });

  test("ends at its absolute time however much it is used", async () => {
    const cookie = await newPerson();
    for (let days = 0; days < 25; days += 5) {
      clock.advance(5 * day);
      expect(await signedIn(one, cookie)).toBe(true);
    }
    clock.advance(5 * day);
    expect(await signedIn(one, cookie)).toBe(false);
  });

  test("writes that it was used at most once a minute", async () => {
    const cookie = await newPerson();
    const { last_seen_at: started } = await rowOf(cookie);
    clock.advance(minute - 1);
    await Promise.all([one, two, one, two].map((service) => signedIn(service, cookie)));
    expect((await rowOf(cookie)).last_seen_at).toEqual(started);
    clock.advance(minute);
    await signedIn(one, cookie);
    const { last_seen_at: seen, idle_expires_at: idle } = await rowOf(cookie);
    expect(seen.getTime()).toBe(clock.now());
    expect(idle.getTime()).toBe(clock.now() + 7 * day);
  });

  test("of a person who was disabled opens nothing after a minute at most", async () => {
    const cookie = await newPerson();
    expect(await signedIn(one, cookie)).toBe(true);
    const { user_id: id } = await rowOf(cookie);
    await owner().updateTable("users").set({ disabled_at: new Date() }).where("id", "=", id).execute();
    clock.advance(minute);
    expect(await signedIn(one, cookie)).toBe(false);
  });

  test("is stored as a hash; nothing that opens it stands in PostgreSQL or Redis", async () => {
    const cookie = await newPerson();
    await signedIn(one, cookie);
    const secret = cookie.split("=")[1]!;
    expect(JSON.stringify(await rowOf(cookie))).not.toContain(secret);
    const redis = openRedis({ url: surroundings.env["REDIS_URL"]! });
    await redis.waitUntilReady(5000);
    const keys = await redis.client.keys("*");
    const values = await Promise.all(keys.map((key) => redis.client.get(key)));
    expect(keys.some((key) => key.includes("session"))).toBe(true);
    expect([...keys, ...values].join()).not.toContain(secret);
    await redis.close();
  });
});

describe("sign-out", () => {
  test("is seen at once by every replica, is recorded once, and goes on the change feed", async () => {
    const cookie = await newPerson();
    expect(await signedIn(one, cookie)).toBe(true);
    expect(await signedIn(two, cookie)).toBe(true);
    const answers = await Promise.all([signOut(one, cookie), signOut(two, cookie), signOut(one, cookie)]);
    expect(answers.map((answer) => answer.json)).toEqual([{ success: true }, { success: true }, { success: true }]);
    expect(answers[0].headers.get("set-cookie")).toContain("Max-Age=0");
    expect(await signedIn(one, cookie)).toBe(false);
    expect(await signedIn(two, cookie)).toBe(false);
    const { id } = await rowOf(cookie);
    const changes = await owner().selectFrom("changes").selectAll().where("subject_id", "=", id).execute();
    expect(changes.map((change) => change.kind)).toEqual(["session"]);
    const entries = (await owner().selectFrom("audit_log").selectAll().where("action", "=", "user.signed_out").execute()).filter(
      (row) => JSON.stringify(row.targets).includes(id),
    );
    expect(entries).toHaveLength(1);
  });

  test("without a session, with a dead or a made-up cookie is a success that changes nothing", async () => {
    const before = await owner().selectFrom("audit_log").select("id").execute();
    for (const cookie of [undefined, "nexus_session=x", `nexus_session=${"a".repeat(43)}`]) {
      const answer = await one.call("POST", "/api/auth/sign-out", { cookie });
      expect([answer.status, answer.json]).toEqual([200, { success: true }]);
    }
    expect(await owner().selectFrom("audit_log").select("id").execute()).toHaveLength(before.length);
  });

  test("wins over readers that fill the cache at the same time", async () => {
    for (let round = 0; round < 10; round++) {
      const cookie = await newPerson();
      const readers = Array.from({ length: 10 }, (_, index) => signedIn(index % 2 === 0 ? one : two, cookie));
      await signOut(round % 2 === 0 ? one : two, cookie);
      expect(await signedIn(one, cookie)).toBe(false);
      await Promise.all(readers);
      expect(await signedIn(one, cookie)).toBe(false);
      expect(await signedIn(two, cookie)).toBe(false);
    }
  });

  test.each(["shut", "stuck"] as const)(
    "with Redis %s ends the session for good, also once Redis is back with its old entries",
    async (state) => {
      const cookie = await newPerson();
      expect(await signedIn(one, cookie)).toBe(true);
      expect(await signedIn(two, cookie)).toBe(true);
      await surroundings.redis.set(state);
      expect((await signOut(one, cookie)).status).toBe(200);
      expect(await signedIn(one, cookie)).toBe(false);
      await surroundings.redis.set("open");
      expect(await signedIn(one, cookie)).toBe(false);
      await untilCacheAnswers();
      expect(await signedIn(one, cookie)).toBe(false);
      expect(await signedIn(two, cookie)).toBe(false);
      clock.advance(2 * minute);
      expect(await signedIn(one, cookie)).toBe(false);
      expect(await signedIn(two, cookie)).toBe(false);
    },
  );

  test("with PostgreSQL away is refused with 503, and the session is not said to have ended", async () => {
    const cookie = await newPerson();
    expect(await signedIn(one, cookie)).toBe(true);
    await surroundings.postgres.set("shut");
    const answer = await signOut(one, cookie);
    expect([answer.status, answer.json.code]).toEqual([503, "UNAVAILABLE"]);
    expect(answer.headers.get("retry-after")).toBe("2");
    expect(answer.cookie).toBeUndefined();
    await surroundings.postgres.set("open");
    expect(await signedIn(one, cookie)).toBe(true);
  });
});

describe("when a dependency is away", () => {
  test.each(["shut", "stuck"] as const)(
    "sessions are read from PostgreSQL while Redis is %s, and health says warn",
    async (state) => {
      const cookie = await newPerson();
      await surroundings.redis.set(state);
      expect(await signedIn(one, cookie)).toBe(true);
      clock.advance(2000);
      const health = await waitFor(async () => {
        clock.advance(1000);
        const answer = await one.call("GET", "/health");
        return answer.json.status === "warn" && answer;
      });
      expect(health.status).toBe(200);
      expect((await one.call("GET", "/readyz")).status).toBe(200);
    },
  );

  test("a cached session is served while PostgreSQL is away; an unknown one is 503, never 401; health says fail", async () => {
    const [cached, unknown] = [await newPerson(), await newPerson()];
    // Redis has 50 ms for an answer; a machine that is busy may need another try.
    await waitFor(async () => {
      await surroundings.postgres.set("open");
      clock.advance(2 * minute);
      await signedIn(one, cached);
      await surroundings.postgres.set("shut");
      return await signedIn(one, cached);
    });
    const refused = await one.call("GET", "/api/auth/token?audience=pv-keys", { cookie: unknown });
    expect([refused.status, refused.json.code]).toEqual([503, "UNAVAILABLE"]);
    expect(refused.text).not.toMatch(/ECONN|postgres|select|5432/i);
    clock.advance(2000);
    const health = await one.call("GET", "/health");
    expect([health.status, health.json.status]).toEqual([503, "fail"]);
  });
});

describe("the cache", () => {
  const session = { readAt: 5, session: { id: "ses_1", user: { id: "usr_1", name: "Zoë 🙂" } } as unknown as Session };

  test("opens only what was sealed with the key for this very token", () => {
    const [key, token] = [randomBytes(32), randomBytes(32)];
    const sealed = sealEntry(key, token, session);
    expect(sealed).toMatch(/^[\x20-\x7e]+$/);
    expect(openEntry(key, token, sealed)).toEqual(session);
    expect(openEntry(key, randomBytes(32), sealed)).toBeUndefined();
    expect(openEntry(randomBytes(32), token, sealed)).toBeUndefined();
    expect(openEntry(key, token, sealed.replace("usr_1", "usr_2"))).toBeUndefined();
    for (const text of ["", ".", "x", '{"id":"ses_1"}']) expect(openEntry(key, token, text)).toBeUndefined();
  });

  /** A cache of its own, patient: these tests are about order, not about speed. */
  async function openCache(url: string, key: Buffer) {
    const cache = openRedis({ url }, { commandTimeoutMs: 10_000 });
    await cache.waitUntilReady(10_000);
    const sessionCache = openSessionCache({ cache, clock, key });
    return { cache, sessionCache, close: async () => (sessionCache.close(), await cache.close()) };
  }

  test("a session that ends between the ticket and the fill is not put back, nor after a flush", async () => {
    const token = (await newPerson()).split("=")[1]!;
    const tokenHash = hashSessionToken(token)!;
    const { cache, sessionCache, close } = await openCache(surroundings.redisUrl, randomBytes(32));
    const database = openDatabase(surroundings.database.api, { applicationName: "sessions test" });
    const needs = { db: database.db, clock, sessionCache, sessionLifetime: { idleMs: day, absoluteMs: day } };
    const found = (await findSession(needs, token))!;
    expect(await sessionCache.read(tokenHash)).toEqual(found);
    const ticket = (await sessionCache.ticketFor(found.user.id))!;
    await sessionCache.forget(found.user.id, tokenHash);
    await sessionCache.fill(tokenHash, ticket, found);
    expect(await sessionCache.read(tokenHash)).toBeUndefined();
    // A missing epoch is no epoch.
    const second = (await sessionCache.ticketFor(found.user.id))!;
    await cache.client.flushall();
    await sessionCache.fill(tokenHash, second, found);
    expect(await sessionCache.read(tokenHash)).toBeUndefined();
    await Promise.all([close(), database.close()]);
  });

  test("what one replica could not tell Redis it tells as soon as it can, so that the others stop too", async () => {
    const [key, tokenHash] = [randomBytes(32), randomBytes(32)];
    const ours = await openCache(surroundings.env["REDIS_URL"]!, key);
    const theirs = await openCache(surroundings.redisUrl, key);
    const ticket = (await theirs.sessionCache.ticketFor("usr_1"))!;
    await theirs.sessionCache.fill(tokenHash, ticket, session.session);
    await surroundings.redis.set("shut");
    await ours.sessionCache.forget("usr_1", tokenHash);
    expect(await theirs.sessionCache.read(tokenHash)).toEqual(session.session);
    // From here on nothing but the telling can end it: the clock stands still.
    await surroundings.redis.set("open");
    await waitFor(async () => (await theirs.sessionCache.read(tokenHash)) === undefined);
    await Promise.all([ours.close(), theirs.close()]);
  });

  test("an entry is not believed for longer than a minute, whatever Redis says of its age", async () => {
    const tokenHash = randomBytes(32);
    const { sessionCache, close } = await openCache(surroundings.redisUrl, randomBytes(32));
    await sessionCache.fill(tokenHash, (await sessionCache.ticketFor("usr_1"))!, session.session);
    clock.advance(minute - 1);
    expect(await sessionCache.read(tokenHash)).toEqual(session.session);
    clock.advance(1);
    expect(await sessionCache.read(tokenHash)).toBeUndefined();
    await close();
  });
});

test("a dead cookie is 401 on a person's route and is taken away by get-session", async () => {
  const cookie = `nexus_session=${"a".repeat(43)}`;
  const answer = await one.call("GET", "/api/auth/token?audience=pv-keys", { cookie });
  expect([answer.status, answer.json.code]).toEqual([401, "UNAUTHORIZED"]);
  expect(answer.headers.get("www-authenticate")).toContain("Bearer");
  const session = await one.call("GET", "/api/auth/get-session", { cookie });
  expect(session.text).toBe("null");
  expect(session.headers.get("content-type")).toContain("application/json");
  expect(session.headers.get("set-cookie")).toContain("Max-Age=0");
});

test("the plain cookie of a loopback installation is not secure-prefixed, that of an https one is", async () => {
  const secure = await startTestService(surroundings, { env: { ...env, NEXUS_PUBLIC_URL: "https://nexus.example.org" } });
  const answer = await secure.call("POST", "/api/auth/sign-up/email", {
    body: { email: "secure@example.org", password: "a long pass phrase of mine", name: "S" },
    headers: { origin: "https://nexus.example.org" },
  });
  expect(answer.headers.get("set-cookie")).toMatch(/^__Host-nexus_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Secure/);
  await secure.close();
  expect(await setUp(one).catch(() => "set up already")).toBeDefined();
});
