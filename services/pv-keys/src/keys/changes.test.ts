import { loadConfig } from "@nexus/config";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { newId, uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

const logs = captureLogs();
const secretsSeen: string[] = [];
let scene: KeysScene;
let service: RunningService;
let alice: ScenePerson;
let bob: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  [alice, bob] = await Promise.all([scene.person(), scene.person()]);
  const logger = createLogger({ service: "pv-keys", level: "debug", destination: logs.stream });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

describe("changing a key", () => {
  it("changes what is named and nothing else, audited with before and after", async () => {
    const { key } = await make({ name: "old", metadata: { keep: 1, drop: 2, deep: { a: 1, b: 2 } }, tags: ["t"] });
    const changed = await patch(key.id, {
      name: "new",
      scopes: ["ai:chat"],
      models: ["m"],
      ip_allow: ["192.0.2.1"],
      limits: [{ name: "a", limit: 5, window_seconds: 60 }],
      concurrency: 2,
      quota: { limit: 9, refill: "week" },
      metadata: { drop: null, deep: { b: 3 }, add: [1] },
    });
    expect(changed).toEqual({
      ...key,
      name: "new",
      scopes: ["ai:chat"],
      models: ["m"],
      ip_allow: ["192.0.2.1/32"],
      limits: [{ name: "a", limit: 5, window_seconds: 60 }],
      concurrency: 2,
      quota: { limit: 9, refill: "week" },
      metadata: { keep: 1, deep: { a: 1, b: 3 }, add: [1] },
      updated_at: changed.updated_at,
      rev: changed.rev,
    });
    expect(changed.rev).toBeGreaterThan(key.rev);
    const [entry] = await auditOf(key.id, "key.updated");
    expect(entry).toMatchObject({ before: { concurrency: null, quota: null }, after: { concurrency: 2, scopes: ["ai:chat"] } });
    expect(JSON.stringify(entry)).not.toContain("keep");
    const back = { models: null, ip_allow: null, concurrency: null, quota: null, metadata: null, limits: [], expires_at: null };
    expect(await patch(key.id, back)).toMatchObject({ ...back, metadata: {} });
  });

  it("that changes nothing takes no revision and leaves no entry", async () => {
    const { key } = await make({ name: "same", ip_allow: ["192.0.2.1"], quota: { limit: 1, refill: "day" } });
    const same = { name: "same", ip_allow: ["192.0.2.1/32"], quota: { limit: 1, refill: "day" }, expires_at: key.expires_at };
    expect(await patch(key.id, same)).toEqual(key);
    expect(await patch(key.id, {})).toEqual(key);
    expect(await auditOf(key.id, "key.updated")).toEqual([]);
  });

  it("is refused when somebody was faster, and tells the revision", async () => {
    const { key } = await make({ name: "contended" });
    const { rev } = await patch(key.id, { name: "first", if_rev: key.rev });
    const late = await call(`/v1/keys/${key.id}`, { method: "PATCH", body: { name: "second", if_rev: key.rev } });
    expect(late.status).toBe(409);
    expect(await late.json()).toMatchObject({ code: "conflict", rev });
    expect((await read(key.id)).name).toBe("first");
  });

  it("of several with one expected revision exactly one wins", async () => {
    const { key } = await make({ name: "race" });
    const bodies = Array.from({ length: 8 }, (_, i) => ({ name: `n${i}`, if_rev: key.rev }));
    const answers = await Promise.all(bodies.map((body) => call(`/v1/keys/${key.id}`, { method: "PATCH", body })));
    expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([200, ...Array<number>(7).fill(409)]);
  });

  it.each([
    [{ kind: "svc" }, "/kind"],
    [{ environment: "test" }, "/environment"],
    [{ owner: { kind: "organization" } }, "/owner"],
    [{ state: "active" }, "/state"],
    [{ name: "" }, "/name"],
    [{ name: null }, "/name"],
    [{ scopes: [] }, "/scopes"],
    [{ scopes: ["keys:write"] }, "/scopes/0"],
    [{ expires_at: "2020-01-01T00:00:00Z" }, "/expires_at"],
    [{ ip_allow: ["10.0.0.5/8"] }, "/ip_allow/0"],
    [{ metadata: { big: "x".repeat(17_000) } }, "/metadata"],
    [{ if_rev: -1 }, "/if_rev"],
    [{ if_rev: 2 ** 53 }, "/if_rev"],
  ])("%j is refused, naming %s", async (body, pointer) => {
    const { key } = await make({ name: "bounds" });
    const answer = await call(`/v1/keys/${key.id}`, { method: "PATCH", body });
    expect(answer.status).toBe(422);
    expect(await answer.text()).toContain(`"pointer":"${pointer}"`);
    expect(await read(key.id)).toEqual(key);
  });

  it("metadata that grows by many patches stays within its bound", async () => {
    const { key } = await make({ name: "grows", metadata: { a: "x".repeat(10_000) } });
    const answer = await call(`/v1/keys/${key.id}`, { method: "PATCH", body: { metadata: { b: "x".repeat(10_000) } } });
    expect(answer.status).toBe(422);
    expect((await read(key.id)).metadata).toEqual(key.metadata);
  });
});

describe("disabling", () => {
  it("refuses the key until it is enabled again; doing it twice changes nothing", async () => {
    const { key, secret } = await make({ name: "switch" });
    const off = await step(key.id, "disable");
    expect(off).toMatchObject({ state: "disabled" });
    expect(await verify(secret)).toEqual({ valid: false, code: "disabled" });
    expect(await step(key.id, "disable")).toEqual(off);
    const on = await step(key.id, "enable");
    expect(on).toMatchObject({ state: "active" });
    expect(on.rev).toBeGreaterThan(off.rev);
    expect(await step(key.id, "enable")).toEqual(on);
    expect(await verify(secret)).toMatchObject({ valid: true, rev: on.rev });
    expect(await auditOf(key.id, "key.disabled")).toHaveLength(1);
    expect(await auditOf(key.id, "key.enabled")).toHaveLength(1);
  });
});

describe("rotating", () => {
  it("keeps the id; the old secret works for the overlap, and not a moment without one", async () => {
    const { key, secret: first } = await make({ name: "rotated" });
    const { key: after, secret: second } = await rotate(key.id, 3600);
    expect(after.id).toBe(key.id);
    expect(second).not.toBe(first);
    expect(second.startsWith(after.prefix)).toBe(true);
    expect(after.versions.map(({ version }) => version)).toEqual([2, 1]);
    const [, old] = after.versions;
    expect(Date.parse(old!.retires_at!) - Date.now()).toBeGreaterThan(3500_000);
    for (const secret of [first, second]) expect(await verify(secret)).toMatchObject({ valid: true, key_id: key.id });
    expect(await verify(first)).toMatchObject({ expires_at: old!.retires_at });
    const { secret: third } = await rotate(key.id, 0);
    for (const secret of [first, second]) expect(await verify(secret)).toEqual({ valid: false, code: "expired" });
    expect(await verify(third)).toMatchObject({ valid: true, key_id: key.id });
    expect((await read(key.id)).versions.map(({ drained }) => drained)).toEqual([false, true, true]);
  });

  it("never gives a retiring secret more time than it had", async () => {
    const { key } = await make({ name: "shorter" });
    const { key: once } = await rotate(key.id, 60);
    const { key: twice } = await rotate(key.id, 2_592_000);
    expect(twice.versions.find(({ version }) => version === 1)!.retires_at).toBe(
      once.versions.find(({ version }) => version === 1)!.retires_at,
    );
  });

  it("tells when an old secret is quiet: an hour after its successor, unused for an hour", async () => {
    const { key } = await make({ name: "drains" });
    await rotate(key.id, 86_400);
    const drained = async (): Promise<boolean> => (await read(key.id)).versions.at(-1)!.drained;
    const set = (version: number, values: { created_at?: Date; last_used_at?: Date }): Promise<unknown> =>
      scene.owner.db
        .updateTable("api_key_versions")
        .set(values)
        .where("key_id", "=", uuidOf("key", key.id)!)
        .where("version", "=", version)
        .execute();
    const ago = (minutes: number): Date => new Date(Date.now() - minutes * 60_000);
    expect(await drained()).toBe(false);
    await set(2, { created_at: ago(61) });
    expect(await drained()).toBe(true);
    await set(1, { last_used_at: ago(59) });
    expect(await drained()).toBe(false);
    await set(1, { last_used_at: ago(61) });
    expect(await drained()).toBe(true);
    expect((await read(key.id)).versions[0]!.drained).toBe(false);
  });

  it("leaves at most four secrets that work, however many rotate at once", async () => {
    const { key, secret } = await make({ name: "bounded" });
    const attempts = Array.from({ length: 8 }, () => call(`/v1/keys/${key.id}/rotate`, { body: { overlap_seconds: 600 } }));
    const answers = await Promise.all(attempts);
    const made = answers.filter((answer) => answer.status === 200);
    expect(made).toHaveLength(3);
    expect(answers.filter((answer) => answer.status === 409)).toHaveLength(5);
    const secrets = await Promise.all(made.map(async (answer) => ((await answer.json()) as CreatedKey).secret));
    secretsSeen.push(...secrets);
    expect(new Set(secrets).size).toBe(3);
    for (const one of [secret, ...secrets]) expect(await verify(one)).toMatchObject({ valid: true, key_id: key.id });
    const versions = (await read(key.id)).versions;
    expect(versions.map(({ version }) => version)).toEqual([4, 3, 2, 1]);
    expect(versions.filter(({ retires_at }) => retires_at === null).map(({ version }) => version)).toEqual([4]);
    await rotate(key.id, 0);
    for (const one of [secret, ...secrets]) expect(await verify(one)).toEqual({ valid: false, code: "expired" });
  });

  it.each([
    {},
    { overlap_seconds: -1 },
    { overlap_seconds: 2_592_001 },
    { overlap_seconds: 1.5 },
    { overlap_seconds: 0, now: true },
  ])("%j is refused", async (body) => {
    const { key } = await make({ name: "bounds" });
    expect((await call(`/v1/keys/${key.id}/rotate`, { body })).status).toBe(422);
  });
});

describe("a revoked key", () => {
  const everyRoute: [string, string, unknown?][] = [
    ["PATCH", "", { name: "x" }],
    ["PATCH", "", { expires_at: null }],
    ["POST", "/enable"],
    ["POST", "/disable"],
    ["POST", "/rotate", { overlap_seconds: 0 }],
    ["POST", "/rotate", { overlap_seconds: 60 }],
  ];

  it("becomes active by no route", async () => {
    const { key, secret } = await make({ name: "dead" });
    const revoked = await step(key.id, "revoke");
    for (const [method, path, body = {}] of everyRoute) {
      const answer = await call(`/v1/keys/${key.id}${path}`, { method, body });
      expect([method, path, answer.status]).toEqual([method, path, 409]);
    }
    expect(await read(key.id)).toEqual(revoked);
    expect(await verify(secret)).toEqual({ valid: false, code: "revoked" });
  });

  it("stays revoked in every race with other changes", async () => {
    for (let round = 0; round < 10; round++) {
      const { key, secret } = await make({ name: "race" });
      const attempts = everyRoute.toSpliced(round % everyRoute.length, 0, ["POST", "/revoke"]);
      const answers = await Promise.all(
        attempts.map(([method, path, body = {}]) => call(`/v1/keys/${key.id}${path}`, { method, body })),
      );
      for (const answer of answers) expect([200, 409]).toContain(answer.status);
      const final = await read(key.id);
      expect(final.state).toBe("revoked");
      for (const answer of answers) {
        const made = ((await answer.json()) as Partial<CreatedKey>).secret;
        if (made === undefined) continue;
        secretsSeen.push(made);
        expect(await verify(made)).toMatchObject({ valid: false });
      }
      expect(await verify(secret)).toMatchObject({ valid: false });
      const revs = await revsOf(key.id);
      expect(revs.at(-1)).toBe(final.rev);
    }
  });
});

describe("another organization's key, and nobody's", () => {
  it("is not there for any change", async () => {
    const { key } = await make({ name: "mine" });
    for (const [method, path, body] of [
      ["PATCH", "", { name: "theirs" }],
      ["POST", "/enable", {}],
      ["POST", "/disable", {}],
      ["POST", "/rotate", { overlap_seconds: 0 }],
      ["POST", "/revoke", {}],
    ] as const) {
      expect((await scene.call(`${service.url}/v1/keys/${key.id}${path}`, bob, { method, body })).status).toBe(404);
      expect((await call(`/v1/keys/${newId("key")}${path}`, { method, body })).status).toBe(404);
      const stranger = await scene.call(`${service.url}/v1/keys/${key.id}${path}`, "pv_sk_live_nothing", { method, body });
      expect(stranger.status).toBe(401);
    }
    expect(await read(key.id)).toEqual(key);
  });
});

describe("the list", () => {
  it("is narrowed by every filter", async () => {
    const person = await scene.person(["admin"]);
    const soon = new Date(Date.now() + 3600_000).toISOString();
    await make({ name: "Alpha 100%", tags: ["red"], environment: "test", expires_at: soon }, person);
    const { key: used } = await make({ name: "beta", owner: { kind: "organization" }, expires_at: null }, person);
    await make({ name: "gamma", kind: "svc", scopes: ["keys:verify"] }, person);
    const { key: off } = await make({ name: "delta", tags: ["red", "blue"] }, person);
    await step(off.id, "disable", person);
    await scene.owner.db
      .updateTable("api_key_versions")
      .set({ last_used_at: new Date() })
      .where("key_id", "=", uuidOf("key", used.id)!)
      .execute();
    const names = async (query: string): Promise<string[]> => {
      const answer = await scene.call(`${service.url}/v1/keys?${query}`, person);
      expect([query, answer.status]).toEqual([query, 200]);
      return ((await answer.json()) as { data: Key[] }).data.map((key) => key.name[0]!.toLowerCase()).toSorted();
    };
    const later = new Date(Date.now() + 60_000).toISOString();
    expect(await names("")).toEqual(["a", "b", "d", "g"]);
    expect(await names("state=disabled")).toEqual(["d"]);
    expect(await names("environment=test")).toEqual(["a"]);
    expect(await names("kind=svc")).toEqual(["g"]);
    expect(await names("owner=organization")).toEqual(["b"]);
    expect(await names("owner=service")).toEqual(["g"]);
    expect(await names(`owner=${person.userId}`)).toEqual(["a", "d"]);
    expect(await names("tag=red")).toEqual(["a", "d"]);
    expect(await names("tag=red&state=active")).toEqual(["a"]);
    expect(await names("name=ALPHA")).toEqual(["a"]);
    expect(await names("name=100%25")).toEqual(["a"]);
    expect(await names("name=%25")).toEqual(["a"]);
    expect(await names("name=_")).toEqual([]);
    expect(await names(`expires_before=${new Date(Date.now() + 7200_000).toISOString()}`)).toEqual(["a"]);
    expect(await names(`unused_since=${later}`)).toEqual(["a", "b", "d", "g"]);
    expect(await names(`unused_since=${used.created_at}`)).toEqual(["a"]);
  });

  it.each([
    "state=gone",
    "kind=root",
    "owner=usr_1",
    "owner=everybody",
    "tag=",
    "name=",
    "expires_before=soon",
    "unused_since=1",
    "colour=red",
  ])("?%s is refused", async (query) => {
    expect((await call(`/v1/keys?${query}`)).status).toBe(422);
  });
});

it("no log line holds a secret", () => {
  expect(secretsSeen.length).toBeGreaterThan(20);
  for (const secret of secretsSeen) expect(logs.text()).not.toContain(secret.slice(21));
});

async function auditOf(keyId: string, action: string): Promise<unknown[]> {
  const rows = await scene.owner.db.selectFrom("audit_log").select(["details", "targets"]).where("action", "=", action).execute();
  return rows.filter((row) => JSON.stringify(row.targets).includes(keyId)).map((row) => row.details);
}

async function revsOf(keyId: string): Promise<number[]> {
  const rows = await scene.owner.db
    .selectFrom("changes")
    .select("rev")
    .where("subject_id", "=", uuidOf("key", keyId)!)
    .orderBy("rev")
    .execute();
  return rows.map((row) => Number(row.rev));
}

function call(path: string, options?: Parameters<KeysScene["call"]>[2]): Promise<Response> {
  return scene.call(service.url + path, alice, options);
}

async function make(body: unknown, by = alice): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, by, { body });
  expect(answer.status).toBe(201);
  return await seen(answer);
}

async function rotate(id: string, overlapSeconds: number): Promise<CreatedKey> {
  const answer = await call(`/v1/keys/${id}/rotate`, { body: { overlap_seconds: overlapSeconds } });
  expect(answer.status).toBe(200);
  return await seen(answer);
}

async function seen(answer: Response): Promise<CreatedKey> {
  const made = (await answer.json()) as CreatedKey;
  secretsSeen.push(made.secret);
  return made;
}

async function patch(id: string, body: unknown): Promise<Key> {
  return await keyOf(await call(`/v1/keys/${id}`, { method: "PATCH", body }));
}

async function step(id: string, name: string, by = alice): Promise<Key> {
  return await keyOf(await scene.call(`${service.url}/v1/keys/${id}/${name}`, by, { body: {} }));
}

async function read(id: string): Promise<Key> {
  return await keyOf(await call(`/v1/keys/${id}`));
}

async function keyOf(answer: Response): Promise<Key> {
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { key: Key }).key;
}

async function verify(key: string): Promise<unknown> {
  const answer = await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
  expect(answer.status).toBe(200);
  return await answer.json();
}
