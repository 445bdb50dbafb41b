/** Verification as other services see it: both ways give the same bytes, and nothing that is no key costs a statement. */
import { loadConfig } from "@nexus/config";
import type { CreatedKey } from "@nexus/contracts/keys";
import type { VerifyKeyAnswer, VerifyKeysAnswer } from "@nexus/contracts/verify-key";
import { generateApiKey } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson, startTestRedis, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

const logs = captureLogs();
let scene: KeysScene;
let redis: Awaited<ReturnType<typeof startTestRedis>>;
let service: RunningService;
let alice: ScenePerson;
let admin: ScenePerson;
let plain: CreatedKey;
let serviceKey: CreatedKey;

beforeAll(async () => {
  [scene, redis] = await Promise.all([openKeysScene(), startTestRedis()]);
  [alice, admin] = await Promise.all([scene.person(), scene.person(["admin"])]);
  const logger = createLogger({ service: "pv-keys", level: "info", destination: logs.stream });
  const environment = { ...scene.environment, REDIS_URL: redis.target.url };
  service = await startService(loadConfig(configSchema, environment, configRules), { logger });
  plain = await make(alice, { name: "plain", models: ["a"] });
  serviceKey = await make(admin, { name: "checker", kind: "svc", scopes: ["keys:verify"] });
});
afterAll(async () => {
  await service.close();
  await redis.stop();
  await scene.close();
});

async function make(by: ScenePerson, body: object): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, by, { body });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

/** @param odd takes the ordinary way: the lane is for the plain form of the content type alone */
function ask(path: string, body: string, by: { token: string; published?: boolean; odd?: boolean }): Promise<Response> {
  return fetch((by.published ? service.url : service.internalUrl) + path, {
    method: "POST",
    headers: {
      authorization: `Bearer ${by.token}`,
      "content-type": by.odd ? "application/json; charset=utf-8" : "application/json",
    },
    body,
  });
}

async function verify(request: object): Promise<VerifyKeyAnswer> {
  const answer = await ask("/v1/keys/verify", JSON.stringify(request), { token: scene.serviceToken });
  expect(answer.status).toBe(200);
  return (await answer.json()) as VerifyKeyAnswer;
}

const bytesOf = async (answer: Response): Promise<unknown> => [
  answer.status,
  answer.headers.get("content-type"),
  answer.headers.get("www-authenticate"),
  (await answer.text()).replaceAll(/req_[0-9a-f-]+/g, "req_…"),
];

describe("the fast way and the ordinary way", () => {
  const bodies: [string, () => unknown][] = [
    ["a good key", () => ({ key: plain.secret })],
    ["a scope that it has", () => ({ key: plain.secret, scope: "ai:chat" })],
    ["a scope that it lacks", () => ({ key: plain.secret, scope: "audit:read" })],
    ["an unknown key", () => ({ key: generateApiKey("sk", "live").key })],
    ["no key at all", () => ({ key: "x" })],
    ["an empty key", () => ({ key: "" })],
    ["a key with an invisible character", () => ({ key: `${plain.secret}\u200b` })],
    ["a key with NUL", () => ({ key: `${plain.secret}\u0000` })],
    ["a model", () => ({ key: plain.secret, model: "b" })],
    ["a cost that is none", () => ({ key: plain.secret, cost: -1 })],
    ["an unknown field", () => ({ key: plain.secret, keys: 1 })],
    ["a key that is no text", () => ({ key: 5 })],
    ["a list", () => [plain.secret]],
    ["null", () => null],
    ["a scope that is too long", () => ({ key: plain.secret, scope: "a".repeat(101) })],
  ];
  it.each(bodies)("give the same bytes for %s", async (_what, body) => {
    const text = JSON.stringify(body());
    for (const by of [{ token: scene.serviceToken }, { token: serviceKey.secret, published: true }]) {
      const [fast, ordinary] = [await ask("/v1/keys/verify", text, by), await ask("/v1/keys/verify", text, { ...by, odd: true })];
      expect(await bytesOf(fast)).toEqual(await bytesOf(ordinary));
    }
  });

  it("give the same bytes for many keys at once", async () => {
    const requests = bodies.slice(0, 7).map(([, body]) => body());
    for (const by of [{ token: scene.serviceToken }, { token: serviceKey.secret, published: true }]) {
      const text = JSON.stringify({ requests });
      const [fast, ordinary] = [
        await ask("/v1/keys/verify/batch", text, by),
        await ask("/v1/keys/verify/batch", text, { ...by, odd: true }),
      ];
      const bytes = await bytesOf(fast);
      expect(bytes).toEqual(await bytesOf(ordinary));
      expect(fast.status).toBe(200);
    }
  });

  it.each([
    ["no credential", () => ""],
    ["a wrong token", () => "wrong"],
    ["a person's token", () => scene.issuer.token(alice, "pv-keys")],
    ["a key that is no service key", () => plain.secret],
  ])("refuse %s alike", async (_what, token) => {
    for (const published of [true, false]) {
      const by = { token: token(), published };
      const text = JSON.stringify({ key: plain.secret });
      const [fast, ordinary] = [await ask("/v1/keys/verify", text, by), await ask("/v1/keys/verify", text, { ...by, odd: true })];
      expect(fast.status).toBeGreaterThanOrEqual(401);
      expect(await bytesOf(fast)).toEqual(await bytesOf(ordinary));
    }
  });

  it("a service key that is bound to other addresses may not ask", async () => {
    const bound = await make(admin, { name: "elsewhere", kind: "svc", scopes: ["keys:verify"], ip_allow: ["203.0.113.0/24"] });
    const answer = await ask("/v1/keys/verify", JSON.stringify({ key: plain.secret }), { token: bound.secret, published: true });
    expect(answer.status).toBe(403);
  });
});

it("a key is held against the model and the address that are asked about", async () => {
  const bound = await make(alice, { name: "bound", models: ["a"], ip_allow: ["198.51.100.0/24"] });
  expect(await verify({ key: bound.secret, model: "a", ip: "198.51.100.7" })).toMatchObject({ valid: true });
  expect(await verify({ key: bound.secret, model: "b", ip: "198.51.100.7" })).toEqual({
    valid: false,
    code: "model_not_allowed",
  });
  expect(await verify({ key: bound.secret, ip: "192.0.2.1" })).toEqual({ valid: false, code: "ip_not_allowed" });
  expect(await verify({ key: bound.secret })).toEqual({ valid: false, code: "ip_not_allowed" });
});

it("each verification is a use of the key's limits and its quota, and a refused one takes nothing", async () => {
  const { secret } = await make(alice, { name: "limited", limits: [{ name: "minute", limit: 3, window_seconds: 60 }] });
  expect(await verify({ key: secret, cost: 0 })).toMatchObject({ valid: true });
  expect(await verify({ key: secret })).toMatchObject({
    valid: true,
    limit_states: [{ name: "minute", limit: 3, remaining: 2 }],
  });
  expect(await verify({ key: secret, cost: 3 })).toMatchObject({ valid: false, code: "rate_limited" });
  expect(await verify({ key: secret, scope: "audit:read" })).toEqual({ valid: false, code: "insufficient_scope" });
  expect(await verify({ key: secret, cost: 2 })).toMatchObject({ valid: true, limit_states: [{ remaining: 0 }] });
  const refused = await verify({ key: secret });
  expect(refused).toMatchObject({ valid: false, code: "rate_limited", limit_states: [{ remaining: 0 }] });
  expect("retry_after_ms" in refused && refused.retry_after_ms).toBeGreaterThan(10_000);

  const rationed = await make(alice, { name: "rationed", quota: { limit: 2, refill: "never" } });
  for (const valid of [true, true, false]) expect(await verify({ key: rationed.secret })).toMatchObject({ valid });
  expect(await verify({ key: rationed.secret })).toMatchObject({ code: "quota_exceeded" });
});

it("a batch takes from limits one by one, and answers in the order of its requests", async () => {
  const { secret } = await make(alice, { name: "batch", limits: [{ name: "minute", limit: 2, window_seconds: 60 }] });
  const requests = [secret, plain.secret, secret, "x", secret].map((key) => ({ key }));
  const answer = await ask("/v1/keys/verify/batch", JSON.stringify({ requests }), { token: scene.serviceToken });
  const { results } = (await answer.json()) as VerifyKeysAnswer;
  expect(results.map((result) => (result.valid ? "good" : result.code))).toEqual([
    "good",
    "good",
    "good",
    "not_found",
    "rate_limited",
  ]);
});

describe("whoami", () => {
  const whoami = (token: string) => fetch(`${service.url}/v1/keys/whoami`, { headers: { authorization: `Bearer ${token}` } });

  it("tells any key what it is and may do", async () => {
    const answer = await whoami(plain.secret);
    expect(answer.status).toBe(200);
    const { valid: _valid, ...facts } = (await verify({ key: plain.secret })) as Record<string, unknown>;
    expect(await answer.json()).toEqual(facts);
    expect((await whoami(serviceKey.secret)).status).toBe(200);
  });

  it("is for keys alone", async () => {
    expect((await whoami(generateApiKey("sk", "live").key)).status).toBe(401);
    expect((await whoami(scene.issuer.token(alice, "pv-keys"))).status).toBe(403);
  });
});

describe("what never reaches PostgreSQL", () => {
  it("whatever is no key, and a known key: they are answered while nobody can read the table of keys", async () => {
    await verify({ key: plain.secret });
    const texts = [
      "",
      "x",
      plain.secret.slice(0, -1),
      `${plain.secret}0`,
      `${plain.secret}\u200b`,
      plain.secret.replace("pv_sk", "pv_xx"),
      "pv_sk_live_".padEnd(30_000, "a"),
    ];
    const locked = await scene.owner.db.startTransaction().execute();
    let unknown: VerifyKeyAnswer | undefined;
    try {
      await sql`LOCK TABLE api_key_versions IN ACCESS EXCLUSIVE MODE`.execute(locked);
      for (const key of texts) expect(await verify({ key })).toEqual({ valid: false, code: "not_found" });
      for (let i = 0; i < 50; i++) expect(await verify({ key: plain.secret })).toMatchObject({ valid: true });
      // The proof that the lock is one: this one has to be looked up.
      const asking = verify({ key: generateApiKey("sk", "live").key }).then((answer) => (unknown = answer));
      await waitFor(async () => {
        const { rows } = await sql`SELECT FROM pg_locks WHERE NOT granted AND relation = 'api_key_versions'::regclass`.execute(
          locked,
        );
        return rows.length > 0;
      });
      expect(unknown).toBeUndefined();
      await locked.rollback().execute();
      expect(await asking).toEqual({ valid: false, code: "not_found" });
    } finally {
      if (!locked.isRolledBack) await locked.rollback().execute();
    }
  });

  it("a flood of well-formed keys from one address, which is stopped while others are served", async () => {
    const flood = (ip: string) =>
      ask("/v1/keys/verify", JSON.stringify({ key: generateApiKey("sk", "live").key, ip }), { token: scene.serviceToken });
    const answers: Awaited<ReturnType<typeof flood>>[] = [];
    for (let i = 0; i < 15; i++) {
      answers.push(...(await Promise.all(Array.from({ length: 10 }, () => flood("203.0.113.9")))));
    }
    const stopped = answers.filter(({ status }) => status === 429);
    expect(stopped.length).toBeGreaterThan(20);
    expect(stopped[0]!.headers.get("retry-after")).toMatch(/^\d+$/);
    expect((await flood("203.0.113.10")).status).toBe(200);
    // A known key is served from that address as well.
    expect(await verify({ key: plain.secret, ip: "203.0.113.9" })).toMatchObject({ valid: true });
  });
});

it("no key stands in the log", () => {
  const written = logs.text();
  for (const { secret } of [plain, serviceKey]) expect(written).not.toContain(secret.slice(-38));
});
