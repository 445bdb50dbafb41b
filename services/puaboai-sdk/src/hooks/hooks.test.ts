/** Guardrails and kept answers together, with limits, a large text and a cache that is full: on a real gateway and a real Redis. */
import { writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { newUuid, uuidOf } from "@nexus/core";
import { openRedis } from "@nexus/redis";
import {
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  startFakeUpstream,
  startTestRedis,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openAnswerEntries } from "../cache/answer-entries.ts";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let redis: Awaited<ReturnType<typeof startTestRedis>>;
const gateways: RunningService[] = [];

beforeAll(async () => {
  [scene, provider, redis] = await Promise.all([openGatewayScene(), startFakeUpstream(), startTestRedis()]);
});
afterAll(async () => {
  for (const gateway of gateways) await gateway.close();
  await Promise.all([provider.close(), redis.stop()]);
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
});

const usual = () => ({ redisUrl: redis.target.url, path: scene.writeSettings("") });

/** A gateway of its own on the same Redis, with these guardrails. */
async function start(guardrails: string, { redisUrl, path } = usual()): Promise<RunningService> {
  writeFileSync(path, settingsWith(guardrails));
  const followed = { NEXUS_GATEWAY_CONFIG: path, NEXUS_GATEWAY_CONFIG_SECONDS: "1", REDIS_URL: redisUrl };
  const variables = { ...followed, NEXUS_SPOOL_DIR: `${scene.directory}/spool-${newUuid()}` };
  const gateway = await startTestGateway(scene, { variables });
  gateways.push(gateway);
  return gateway;
}

function settingsWith(guardrails: string): string {
  return `
providers: { fake: { base_url: "${provider.baseUrl}", allow_private_network: true } }
models:
  - { id: kept, provider: fake, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free, cache: { ttl_seconds: 600 } }
${guardrails}`;
}

function call(gateway: RunningService, key: string, say: string, stream = false): Promise<Response> {
  return post(`${gateway.url}/v1/chat/completions`, key, { model: "kept", stream, messages: [{ role: "user", content: say }] });
}

const cacheSaid = (answer: Response) => answer.headers.get("x-nexus-cache");

/** Asks until the answer comes from the cache. */
async function untilHit(gateway: RunningService, key: string, say: string, stream = false): Promise<Response> {
  return await waitFor(async () => {
    const answer = await call(gateway, key, say, stream);
    if (cacheSaid(answer) === "hit") return answer;
    await answer.text();
    return undefined;
  });
}

test("a hit counts against the key's limits as any call", async () => {
  const gateway = await start("");
  const { key } = scene.pvKeys.issue({ limits: [{ name: "minute", limit: 4, window_seconds: 3600 }] });
  const statuses: (number | string | null)[] = [];
  for (let at = 0; at < 6; at++) {
    const answer = await call(gateway, key, "hello");
    statuses.push(answer.status);
    await answer.text();
  }
  expect(statuses.filter((status) => status === 200)).toHaveLength(4);
  expect(statuses.slice(-2)).toEqual([429, 429]);
});

test("guardrails change with gateway.yaml while calls run, and a faulty file changes nothing", async () => {
  const given = usual();
  const gateway = await start("", given);
  const { key } = await scene.issueKey();
  const mail = () => call(gateway, key, "mail me@example.com");
  expect((await mail()).status).toBe(200);
  writeFileSync(given.path, settingsWith("guardrails: [{ name: strict, kind: detector, on: input, action: block }]"));
  await waitFor(async () => (await mail()).status === 400);
  writeFileSync(given.path, settingsWith("guardrails: [{ name: strict, kind: detector, on: input, action: never }]"));
  await waitFor(async () => (await (await fetch(`${gateway.internalUrl}/metrics`)).text()).includes("configuration_refused 1"));
  expect((await mail()).status).toBe(400);
  writeFileSync(given.path, settingsWith(""));
  await waitFor(async () => (await mail()).status === 200);
});

test("a Redis that is slow is not waited for", async () => {
  const slowMs = 3000;
  const target = new URL(redis.target.url);
  const real = Number(target.port);
  const proxy = createServer((client) => {
    const server = connect(real, target.hostname);
    client.pipe(server);
    server.on("data", (chunk: Buffer) => setTimeout(() => client.write(chunk), isSlow ? slowMs : 0));
    client.on("error", () => server.destroy()).on("close", () => server.destroy());
    server.on("error", () => client.destroy());
  });
  let isSlow = false;
  await new Promise<void>((resolve) => void proxy.listen(0, "127.0.0.1", resolve));
  target.port = String((proxy.address() as AddressInfo).port);
  const gateway = await start("", { ...usual(), redisUrl: target.href });
  const { key } = await scene.issueKey();
  await untilHit(gateway, key, "slowly");
  isSlow = true;
  for (let at = 0; at < 3; at++) {
    const started = performance.now();
    const answer = await call(gateway, key, "slowly");
    expect([answer.status, cacheSaid(answer)]).toEqual([200, "miss"]);
    expect(performance.now() - started).toBeLessThan(slowMs / 2);
    await answer.text();
  }
  isSlow = false;
  await untilHit(gateway, key, "slowly");
  proxy.close();
});

describe("guardrails before and behind the cache", () => {
  test("two requests that are redacted to the same one are the same question, and the row tells both", async () => {
    const gateway = await start("guardrails: [{ name: tidy, kind: detector, on: input, action: redact, detects: [email] }]");
    const { key, id } = await scene.issueKey();
    await untilHit(gateway, key, "write to one@example.com");
    const other = await call(gateway, key, "write to another@example.org");
    expect([cacheSaid(other), other.headers.get("x-nexus-guardrail")]).toEqual(["hit", "tidy=redact"]);
    const row = await waitFor(async () => {
      return await scene.owner.db
        .selectFrom("usage_events")
        .select(["cached_answer", "guardrail", "guardrail_action", "outcome", "cost_nanos"])
        .where("key_id", "=", uuidOf("key", id)!)
        .where("cached_answer", "=", true)
        .executeTakeFirst();
    });
    expect(row).toEqual({ cached_answer: true, guardrail: "tidy", guardrail_action: "redact", outcome: "ok", cost_nanos: 0n });
  });

  test("what blocks on the way in blocks before a kept answer is looked for", async () => {
    const free = await start("");
    const strict = await start("guardrails: [{ name: strict, kind: detector, on: input, action: block }]");
    const { key } = await scene.issueKey();
    await untilHit(free, key, "mail me@example.com");
    expect((await call(strict, key, "mail me@example.com")).status).toBe(400);
  });

  test("an answer is kept as the guardrails left it, and one that was kept under others is not told", async () => {
    const free = await start("");
    const tidy = await start("guardrails: [{ name: tidy, kind: detector, on: output, action: redact }]");
    const { key } = await scene.issueKey();
    for (const stream of [false, true]) {
      const text = "Ask someone@example.com for the rest of it, whoever that may be.";
      provider.answerWith(stream ? chatStream({ texts: text.match(/.{1,6}/g)! }) : chatAnswer({ text }));
      expect(await (await untilHit(free, key, "who?", stream)).text()).toContain(stream ? "meone@" : "someone@example.com");
      const first = await call(tidy, key, "who?", stream);
      expect(cacheSaid(first)).toBe("miss");
      const told = await first.text();
      expect(told).toContain("[EMAIL]");
      const again = await untilHit(tidy, key, "who?", stream);
      expect(await again.text()).toBe(told);
    }
  });

  test("a blocked answer is not kept", async () => {
    const gateway = await start("guardrails: [{ name: strict, kind: detector, on: output, action: block }]");
    const { key } = await scene.issueKey();
    provider.answerWith(chatAnswer({ text: "mail me@example.com" }));
    for (let at = 0; at < 3; at++) expect((await call(gateway, key, "bad")).status).toBe(400);
    provider.answerWith(chatStream({ texts: ["mail me@", "example.com, ", "and so on."] }));
    for (let at = 0; at < 3; at++) await (await call(gateway, key, "bad", true)).text();
    expect(provider.received).toHaveLength(6);
  });
});

test("a megabyte of text is looked through while other calls go on", async () => {
  const gateway = await start("guardrails: [{ name: tidy, kind: detector, on: input, action: redact, timeout_ms: 20000 }]");
  const { key } = await scene.issueKey();
  const long = `${"1 a@".repeat(250_000)} me@example.com ${"x".repeat(60_000)}`;
  const answered = call(gateway, key, long);
  let beside = 0;
  const state = { isOver: false };
  void answered.then(() => (state.isOver = true));
  while (!state.isOver) {
    const answer = await fetch(`${gateway.url}/livez`);
    await answer.text();
    beside++;
  }
  expect((await answered).status).toBe(200);
  expect(provider.received[0]!.body.toString()).toContain(" [EMAIL] ");
  expect(beside).toBeGreaterThan(3);
});

test("a text that is not looked through in time is a failure of the guardrail", async () => {
  const gateway = await start("guardrails: [{ name: hasty, kind: detector, on: input, action: block, timeout_ms: 5 }]");
  const { key } = await scene.issueKey();
  const refused = await call(gateway, key, "1 a@".repeat(500_000));
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ error: { code: "guardrail_failed" } });
  expect(provider.received).toHaveLength(0);
});

test("all entries together stay within their bound: what would die next goes, whoever's it is", async () => {
  const cache = openRedis(redis.target, { commandTimeoutMs: 5000 });
  await cache.waitUntilReady(10_000);
  await cache.client.flushall();
  const entries = openAnswerEntries(cache, { organizationBytes: 60_000, totalBytes: 100_000 });
  const put = (organizationId: string, digest: string, ttlSeconds: number) =>
    entries.put({ organizationId, digest, sealed: Buffer.alloc(20_000, 1), ttlSeconds });
  for (const [at, organization] of ["a", "b", "c", "d"].entries()) expect(await put(organization, "1", 100 + at)).toBe(true);
  expect(await put("d", "2", 200)).toBe(true);
  // The first of all had least time left.
  expect(await entries.get({ organizationId: "a", digest: "1" })).toBeUndefined();
  expect(await entries.get({ organizationId: "b", digest: "1" })).toHaveLength(20_000);
  // Replacing one frees its own room first.
  for (let at = 0; at < 5; at++) expect(await put("d", "2", 200)).toBe(true);
  expect(await entries.get({ organizationId: "b", digest: "1" })).toHaveLength(20_000);
  expect(await entries.put({ organizationId: "d", digest: "3", sealed: Buffer.alloc(70_000), ttlSeconds: 1 })).toBe(false);
  // An organization that is full loses its own.
  for (const digest of ["3", "4", "5"]) await put("d", digest, 300);
  expect((await cache.client.keys("nexus:answers:entry:d/*")).length).toBeLessThanOrEqual(2);
  const sums = await cache.client.hgetall("nexus:answers:sums");
  const lengths = await Promise.all((await cache.client.keys("nexus:answers:entry:*")).map((key) => cache.client.strlen(key)));
  expect(Number(sums["*"])).toBeGreaterThanOrEqual(lengths.reduce((sum, length) => sum + length, 0));
  expect(Number(sums["*"])).toBeLessThanOrEqual(100_000);
  for (const key of ["expiry", "sizes", "sums", "of:d"])
    expect(await cache.client.pttl(`nexus:answers:${key}`)).toBeGreaterThan(0);
  await cache.close();
});
