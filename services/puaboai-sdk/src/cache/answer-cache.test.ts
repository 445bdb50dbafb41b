/** Answers are kept and told again by a real gateway with a real Redis, whatever that Redis does. */
import { randomBytes } from "node:crypto";
import { newUuid, uuidOf } from "@nexus/core";
import { type Cache, openRedis } from "@nexus/redis";
import {
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  messagesAnswer,
  openGatewayScene,
  recordTestChange,
  redisKinds,
  type RedisProcess,
  startFakeUpstream,
  startRedisProcess,
  waitFor,
} from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { startTestGateway } from "../start-test-gateway.test.ts";

describe.each(redisKinds)("with %s", (kind) => {
  let scene: GatewayScene;
  let provider: FakeUpstream;
  let redis: RedisProcess;
  let gateway: RunningService;
  let direct: Cache;

  beforeAll(async () => {
    [scene, provider, redis] = await Promise.all([openGatewayScene(), startFakeUpstream(), startRedisProcess(kind)]);
    const chat = "kind: chat, context_tokens: 8000, max_output_tokens: 1000";
    const price = "{ unit: usd_per_million_tokens, input: '1', output: '10', source: test, effective: 2026-01-01 }";
    const yaml = `
cache: { organization_max_bytes: 1048576, total_max_bytes: 4194304 }
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true }
  claude: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
models:
  - { id: kept, provider: fake, ${chat}, price: ${price}, cache: { ttl_seconds: 3600, max_bytes: 200000 } }
  - { id: clamped, provider: fake, ${chat}, price: ${price}, cache: { ttl_seconds: 3600 }, clamp_output: true }
  - { id: brief, provider: fake, ${chat}, price: free, cache: { ttl_seconds: 1 } }
  - { id: small, provider: fake, ${chat}, price: free, cache: { ttl_seconds: 3600, max_bytes: 1024 } }
  - { id: plain, provider: fake, ${chat}, price: free }
  - { id: claude, provider: claude, ${chat}, price: free, cache: { ttl_seconds: 3600 } }
routes:
  either: { targets: [plain, brief], cache: { ttl_seconds: 3600 } }
`;
    gateway = await startTestGateway(scene, { yaml, variables: { REDIS_URL: redis.target.url } });
    direct = openRedis(redis.target, { commandTimeoutMs: 5000 });
    await direct.waitUntilReady(10_000);
  });
  afterAll(async () => {
    await gateway.close();
    await direct.close();
    await Promise.all([provider.close(), redis.kill()]);
    await scene.close();
  });
  beforeEach(() => {
    provider.received.length = 0;
    provider.answerWith(chatAnswer());
  });

  interface Asked {
    path?: string;
    headers?: Record<string, string>;
    body?: string;
    model?: string;
    stream?: boolean;
    say?: string;
  }

  function call(key: string, { path = "/v1/chat/completions", headers = {}, ...asked }: Asked = {}): Promise<Response> {
    const { model = "kept", stream = false, say = "hello" } = asked;
    const body = asked.body ?? JSON.stringify({ model, stream, messages: [{ role: "user", content: say }] });
    return fetch(gateway.url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
      body,
    });
  }

  /** The organization of each key: what lies in Redis is counted by it, as tests before may still write. */
  const organizations = new Map<string, string>();
  async function keyWithBudget() {
    const issued = await scene.issueKey({ budgetNanos: 10_000_000_000n });
    organizations.set(issued.key, issued.organizationId);
    return issued;
  }
  const cacheSaid = (answer: Response) => answer.headers.get("x-nexus-cache");

  /** Asks once, and waits until the answer lies in Redis. */
  async function warm(key: string, asked: Asked = {}): Promise<Response> {
    const before = (await entriesOf(key)).length;
    const answer = await call(key, asked);
    const text = await answer.text();
    await waitFor(async () => (await entriesOf(key)).length > before);
    return new Response(text, answer);
  }

  const entriesOf = (key: string) => direct.client.keys(`nexus:answers:entry:${organizations.get(key)}/*`);

  async function rowsOf(keyId: string, count: number) {
    return await waitFor(async () => {
      const rows = await scene.owner.db
        .selectFrom("usage_events")
        .selectAll()
        .where("key_id", "=", uuidOf("key", keyId)!)
        .where("outcome", "!=", "crash")
        .orderBy("occurred_at")
        .execute();
      return rows.length >= count ? rows : undefined;
    });
  }

  test("the second time the same answer comes from the cache, free of charge, and its row says so", async () => {
    const { key, id } = await keyWithBudget();
    const first = await warm(key);
    expect(cacheSaid(first)).toBe("miss");
    const second = await call(key);
    expect(second.status).toBe(200);
    expect(cacheSaid(second)).toBe("hit");
    expect(Number(second.headers.get("age"))).toBeGreaterThanOrEqual(0);
    expect(second.headers.get("x-nexus-cost-nanos")).toBe("0");
    expect(second.headers.get("content-type")).toBe(first.headers.get("content-type"));
    expect(await second.text()).toBe(await first.text());
    expect(provider.received).toHaveLength(1);
    const rows = await rowsOf(id, 2);
    expect(rows[0]).toMatchObject({ cached_answer: false, outcome: "ok" });
    expect(rows[0]!.cost_nanos).toBeGreaterThan(0n);
    expect(rows[1]).toMatchObject({ cached_answer: true, outcome: "ok", http_status: 200, cost_nanos: 0n, reserved_nanos: 0n });
    expect(rows[1]).toMatchObject({ model: "kept", provider: "fake", account_ids: [], input_tokens: 0n });
  });

  test("a budget that is used up refuses a new question, and not a hit", async () => {
    const { key, organizationId } = await keyWithBudget();
    await warm(key);
    await sql`UPDATE budgets SET limit_nanos = 1 WHERE organization_id = ${uuidOf("organization", organizationId)}`.execute(
      scene.owner.db,
    );
    expect(cacheSaid(await call(key))).toBe("hit");
  });

  test("space between tokens and the order of the top members make no other question; anything below does", async () => {
    const { key } = await keyWithBudget();
    const say = (members: string) => call(key, { body: members });
    await warm(key, { body: '{"model":"kept","temperature":0.5,"messages":[{"role":"user","content":"a b"}]}' });
    const same = '{ "messages" : [ { "role":"user", "content":"a b"} ],\n"temperature":0.5,"model":"kept" }';
    expect(cacheSaid(await say(same))).toBe("hit");
    for (const other of [
      '{"model":"kept","temperature":0.50,"messages":[{"role":"user","content":"a b"}]}',
      '{"model":"kept","temperature":0.5,"messages":[{"content":"a b","role":"user"}]}',
      '{"model":"kept","temperature":0.5,"messages":[{"role":"user","content":"ab"}]}',
      '{"model":"kept","temperature":0.5,"messages":[{"role":"user","content":"a b"}],"seed":1}',
    ]) {
      expect(cacheSaid(await say(other))).toBe("miss");
    }
  });

  test("another organization gets no answer of this one, another key of this one does", async () => {
    const one = await keyWithBudget();
    await warm(one.key);
    const sibling = scene.pvKeys.issue({ organization_id: one.organizationId });
    expect(cacheSaid(await call(sibling.key))).toBe("hit");
    const stranger = await keyWithBudget();
    expect(cacheSaid(await call(stranger.key))).toBe("miss");
  });

  test("a key that may not use the model is refused, and one that is revoked or a model that is frozen gets no hit", async () => {
    const { key, organizationId } = await keyWithBudget();
    await warm(key);
    const other = scene.pvKeys.issue({ organization_id: organizationId, models: ["plain"] });
    expect((await call(other.key)).status).toBe(404);
    const id = newUuid();
    const freeze = { id, authority: "platform", target_kind: "model", target: "kept", organization_id: null } as const;
    await scene.owner.db
      .insertInto("freezes")
      .values({ ...freeze, reason: "test", created_by: id, rev: 0n })
      .execute();
    await recordTestChange(scene.owner, "freeze", id);
    await waitFor(async () => (await call(key)).status === 403);
    await sql`UPDATE freezes SET thawed_at = now(), thawed_by = id`.execute(scene.owner.db);
    await recordTestChange(scene.owner, "freeze", id);
    await waitFor(async () => cacheSaid(await call(key)) === "hit");
    await scene.pvKeys.change(key, { state: "revoked" });
    await waitFor(async () => (await call(key)).status === 401);
  });

  test("a stream is replayed frame by frame as it was, to a request for a stream alone", async () => {
    provider.answerWith(chatStream({ texts: ["one ", "two ", "three"], pieceBytes: 7 }));
    const { key } = await keyWithBudget();
    const first = await warm(key, { stream: true });
    const second = await call(key, { stream: true });
    expect(cacheSaid(second)).toBe("hit");
    expect(second.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const text = await second.text();
    expect(text).toBe(await first.text());
    expect(text.split("\n\n").filter((frame) => frame !== "")).toHaveLength(5);
    provider.answerWith(chatAnswer());
    expect(cacheSaid(await call(key))).toBe("miss");
  });

  test("a translated answer is kept as the client got it", async () => {
    provider.answerWith(messagesAnswer());
    const { key } = await keyWithBudget();
    const first = await warm(key, { model: "claude" });
    const second = await call(key, { model: "claude" });
    expect(cacheSaid(second)).toBe("hit");
    expect(await second.text()).toBe(await first.text());
    const asMessages = JSON.stringify({ model: "claude", max_tokens: 10, messages: [{ role: "user", content: "hello" }] });
    expect(cacheSaid(await call(key, { path: "/v1/messages", body: asMessages }))).toBe("miss");
  });

  test("a route keeps the answers of its targets", async () => {
    const { key } = await keyWithBudget();
    await warm(key, { model: "either" });
    const again = await call(key, { model: "either" });
    expect(cacheSaid(again)).toBe("hit");
    // Its target by itself keeps none.
    expect(cacheSaid(await call(key, { model: "plain" }))).toBeNull();
  });

  test("an answer that a budget has made shorter is not kept", async () => {
    const issued = await scene.issueKey({ budgetNanos: 9_000_000n });
    organizations.set(issued.key, issued.organizationId);
    for (const stream of [false, true]) {
      provider.answerWith(stream ? chatStream() : chatAnswer());
      const answer = await call(issued.key, { model: "clamped", stream });
      await answer.text();
      expect([answer.status, cacheSaid(answer)]).toEqual([200, "miss"]);
      expect(Number(answer.headers.get("x-nexus-max-tokens"))).toBeLessThan(1000);
    }
    provider.answerWith(chatAnswer());
    // What is kept is kept in order: when this one is there, none of the others came before it.
    await warm(issued.key, { model: "small", say: "later" });
    expect(await entriesOf(issued.key)).toHaveLength(1);
  });

  test("errors, streams that broke or were left, and what is too long are not kept", async () => {
    const { key } = await keyWithBudget();
    const asked = async (say: string, change: Asked = {}) => {
      const answer = await call(key, { say, ...change });
      return [answer, await answer.text().catch(() => "")] as const;
    };
    provider.answerWith(chatAnswer({ status: 400, body: '{"error":{"message":"no"}}' }));
    expect((await asked("refused"))[0].status).toBe(400);
    provider.answerWith(chatStream({ texts: ["a", "b", "c"], dieAfter: 2 }));
    await asked("broken", { stream: true });
    provider.answerWith(chatStream({ withoutDone: true }));
    await asked("endless", { stream: true });
    provider.answerWith(chatAnswer({ text: "x".repeat(2000) }));
    await asked("long", { model: "small" });
    provider.answerWith(chatStream({ texts: Array.from({ length: 100 }, () => "word "), delayMs: 20 }));
    const left = await call(key, { say: "left", stream: true });
    const reader = left.body!.getReader();
    await reader.read();
    await reader.cancel();
    await waitFor(() => provider.received.at(-1)!.abortedAt !== undefined);
    provider.answerWith(chatAnswer());
    // What is kept is kept in order: when this one is there, none of the others came before it.
    await warm(key, { say: "good" });
    expect(await entriesOf(key)).toHaveLength(1);
  });

  test("a request may want nothing kept, or nothing old", async () => {
    const { key } = await keyWithBudget();
    const noStore = { headers: { "cache-control": "no-store" } };
    expect(cacheSaid(await call(key, noStore))).toBeNull();
    await warm(key);
    expect(cacheSaid(await call(key, noStore))).toBeNull();
    provider.answerWith(chatAnswer({ text: "newer" }));
    const fresh = await call(key, { headers: { "cache-control": "max-age=0, no-cache" } });
    expect(cacheSaid(fresh)).toBe("miss");
    const text = await fresh.text();
    expect(text).toContain("newer");
    await waitFor(async () => (await (await call(key)).text()) === text);
  });

  test("an answer that is too old is none", async () => {
    const { key } = await keyWithBudget();
    await warm(key, { model: "brief" });
    await waitFor(async () => cacheSaid(await call(key, { model: "brief", headers: { "x-try": newUuid() } })) === "miss");
  });

  test("neither prompt nor answer can be read in Redis, and an entry moved under another name does not open", async () => {
    const { key } = await keyWithBudget();
    provider.answerWith(chatAnswer({ text: "the-answer-text" }));
    await warm(key, { say: "the-prompt-text" });
    const [name] = await entriesOf(key);
    const bytes = (await direct.client.getBuffer(name!))!;
    for (const text of ["the-answer-text", "the-prompt-text", "chatcmpl"]) {
      expect(bytes.includes(text)).toBe(false);
      expect(name).not.toContain(text);
    }
    provider.answerWith(chatAnswer({ text: "another-answer" }));
    await warm(key, { say: "another prompt" });
    const [other] = (await entriesOf(key)).filter((one) => one !== name);
    await direct.client.set(other!, bytes);
    const answer = await call(key, { say: "another prompt" });
    expect(cacheSaid(answer)).toBe("miss");
    expect(await answer.text()).toContain("another-answer");
  });

  test.each([
    ["nothing", () => Buffer.alloc(0)],
    ["noise", () => randomBytes(500)],
    ["half of it", (good: Buffer) => good.subarray(0, good.length >> 1)],
    ["another version", (good: Buffer) => Buffer.concat([Buffer.of(99), good.subarray(1)])],
    ["one flipped bit", (good: Buffer) => Buffer.from(good.map((byte, at) => (at === 40 ? byte ^ 1 : byte)))],
  ])("a Redis that tells %s is not believed: the provider is asked", async (_what, spoil) => {
    const { key } = await keyWithBudget();
    await warm(key);
    const [name] = await entriesOf(key);
    await direct.client.set(name!, spoil((await direct.client.getBuffer(name!))!));
    const answer = await call(key);
    expect(answer.status).toBe(200);
    expect(cacheSaid(answer)).toBe("miss");
    await answer.text();
    // The lie is replaced by the new answer.
    await waitFor(async () => cacheSaid(await call(key)) === "hit");
  });

  test("an entry of another kind of value is no error either", async () => {
    const { key } = await keyWithBudget();
    await warm(key);
    const [name] = await entriesOf(key);
    await direct.client.del(name!);
    await direct.client.sadd(name!, "a");
    const answer = await call(key);
    expect([answer.status, cacheSaid(answer)]).toEqual([200, "miss"]);
  });

  test("an organization's entries stay within its share, those that die first go first, and another's stay", async () => {
    const [one, other] = await Promise.all([keyWithBudget(), keyWithBudget()]);
    provider.answerWith(chatAnswer({ text: "small" }));
    await warm(other.key);
    provider.answerWith(chatAnswer({ text: "x".repeat(150_000) }));
    for (let at = 0; at < 10; at++) await (await call(one.key, { say: `question ${at}` })).text();
    const own = () => entriesOf(one.key);
    await waitFor(async () => (await own()).length === 6);
    const sizes = await Promise.all((await own()).map((name) => direct.client.strlen(name)));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(1 << 20);
    await waitFor(async () => cacheSaid(await call(one.key, { say: "question 9" })) === "hit");
    expect(cacheSaid(await call(other.key))).toBe("hit");
  });

  test("a Redis that is hung, then gone, then back empty costs no call its answer", async () => {
    const { key } = await keyWithBudget();
    await warm(key);
    redis.pause();
    for (let at = 0; at < 3; at++) {
      const answer = await call(key);
      expect([answer.status, cacheSaid(answer)]).toEqual([200, "miss"]);
      await answer.text();
    }
    await redis.kill();
    const gone = await call(key);
    expect([gone.status, cacheSaid(gone)]).toEqual([200, "miss"]);
    await gone.text();
    await redis.start();
    await waitFor(async () => {
      const answer = await call(key);
      expect(answer.status).toBe(200);
      await answer.text();
      return cacheSaid(answer) === "hit";
    });
  });
});
