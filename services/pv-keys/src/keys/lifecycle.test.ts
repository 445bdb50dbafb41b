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
let admin: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  [alice, bob, admin] = await Promise.all([scene.person(), scene.person(), scene.person(["admin"])]);
  const logger = createLogger({ service: "pv-keys", level: "debug", destination: logs.stream });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

describe("what a key carries", () => {
  const everything = {
    name: "everything",
    environment: "test",
    owner: { kind: "organization" },
    scopes: ["ai:chat", "reports:*"],
    models: ["a", "b"],
    limits: [
      { name: "burst", limit: 10, window_seconds: 1 },
      { name: "daily", limit: 1_000_000_000, window_seconds: 86_400 },
    ],
    concurrency: 4,
    quota: { limit: 1_000_000_000_000, refill: "month" },
    budget_ids: [newId("budget")],
    metadata: { customer: { id: 7 } },
    tags: ["red", "blue"],
    expires_at: "2030-01-01T00:00:00.000Z",
  };

  it("is what was asked for, addresses in their one form", async () => {
    const { key } = await make(alice, { ...everything, ip_allow: ["10.0.0.0/8", "203.0.113.7", "2001:DB8::/32", "10.0.0.0/8"] });
    expect(key).toMatchObject({
      ...everything,
      owner: { kind: "organization", id: null },
      ip_allow: ["10.0.0.0/8", "203.0.113.7/32", "2001:db8::/32"],
      versions: [{ version: 1, prefix: key.prefix, format: null, last_used_at: null, retires_at: null, drained: false }],
    });
    expect(await read(alice, key.id)).toEqual(key);
  });

  it.each([
    [{ limits: [{ name: "a", limit: 0, window_seconds: 1 }] }, "/limits/0/limit"],
    [{ limits: [{ name: "a", limit: 1, window_seconds: 86_401 }] }, "/limits/0/window_seconds"],
    [{ limits: [{ name: "A", limit: 1, window_seconds: 1 }] }, "/limits/0/name"],
    [{ limits: [{ name: "a", limit: 1, window_seconds: 1, burst: 2 }] }, "/limits/0/burst"],
    [{ limits: ["a", "b", "a"].map((name) => ({ name, limit: 1, window_seconds: 1 })) }, "/limits/2/name"],
    [{ limits: Array.from({ length: 9 }, (_, i) => ({ name: `l${i}`, limit: 1, window_seconds: 1 })) }, "/limits"],
    [{ concurrency: 0 }, "/concurrency"],
    [{ concurrency: 1_000_001 }, "/concurrency"],
    [{ concurrency: "4" }, "/concurrency"],
    [{ quota: { limit: 1 } }, "/quota/refill"],
    [{ quota: { limit: 1, refill: "hour" } }, "/quota/refill"],
    [{ quota: { limit: 1_000_000_000_001, refill: "day" } }, "/quota/limit"],
    [{ ip_allow: [] }, "/ip_allow"],
    [{ ip_allow: ["10.0.0.5/8"] }, "/ip_allow/0"],
    [{ ip_allow: ["::1", "fe80::1%eth0"] }, "/ip_allow/1"],
    [{ ip_allow: Array.from({ length: 101 }, (_, i) => `10.0.0.${i}`) }, "/ip_allow"],
    [{ budget_ids: ["bud_1"] }, "/budget_ids/0"],
    [{ budget_ids: Array.from({ length: 21 }, () => newId("budget")) }, "/budget_ids"],
    [{ owner: { kind: "service" } }, "/owner/kind"],
    [{ owner: { kind: "robot" } }, "/owner/kind"],
    [{ owner: { kind: "user", id: newId("user") } }, "/owner/id"],
    [{ owner: { kind: "organization", id: newId("organization") } }, "/owner/id"],
    [{ scopes: ["ai:chat", "keys:write"] }, "/scopes/1"],
    [{ kind: "rk", scopes: ["keys:read", "ai:chat"] }, "/scopes/1"],
    [{ kind: "rk", scopes: ["*"] }, "/scopes/0"],
  ])("%j is refused, naming %s", async (part, pointer) => {
    const answer = await call(alice, "/v1/keys", { body: { name: "x", ...part } });
    expect(answer.status).toBe(422);
    const { errors } = (await answer.json()) as { errors: { pointer: string }[] };
    expect(errors.map((error) => error.pointer.replace(/^(\/(?:concurrency|ip_allow|quota)).*/, "$1"))).toContain(
      pointer.replace(/^(\/(?:concurrency|ip_allow|quota)).*/, "$1"),
    );
  });

  it("hears of all faults at once", async () => {
    const body = { name: "x", ip_allow: ["nowhere"], scopes: ["*"], expires_at: "2020-01-01T00:00:00Z" };
    const answer = await call(alice, "/v1/keys", { body });
    const { errors } = (await answer.json()) as { errors: { pointer: string }[] };
    expect(errors.map((error) => error.pointer).toSorted()).toEqual(["/expires_at", "/ip_allow/0", "/scopes/0"]);
  });

  it.each([
    ["name", "x".repeat(200), "x".repeat(201)],
    [
      "scopes",
      Array.from({ length: 50 }, (_, i) => `area:a${"_".repeat(i)}`),
      Array.from({ length: 51 }, (_, i) => `area:a${"_".repeat(i)}`),
    ],
    ["models", Array.from({ length: 200 }, (_, i) => `m${i}`), Array.from({ length: 201 }, (_, i) => `m${i}`)],
    ["models", ["m".repeat(200)], ["m".repeat(201)]],
    ["tags", Array.from({ length: 50 }, (_, i) => `t${i}`), Array.from({ length: 51 }, (_, i) => `t${i}`)],
    ["tags", ["t".repeat(64)], ["t".repeat(65)]],
    [
      "ip_allow",
      Array.from({ length: 100 }, (_, i) => `10.0.0.${i}/32`),
      Array.from({ length: 101 }, (_, i) => `10.0.0.${i}/32`),
    ],
    ["concurrency", 1_000_000, 1_000_001],
    ["quota", { limit: 1_000_000_000_000, refill: "never" }, { limit: 0, refill: "never" }],
    [
      "limits",
      [{ name: "l".repeat(32), limit: 1_000_000_000, window_seconds: 1 }],
      [{ name: "l".repeat(33), limit: 1, window_seconds: 1 }],
    ],
    ["limits", [{ name: "a", limit: 1, window_seconds: 86_400 }], [{ name: "a", limit: 1, window_seconds: 0 }]],
  ])("%s is taken up to its bound and refused beyond, when made and when changed", async (name, good, bad) => {
    const { key } = await make(alice, { name: "bound", [name]: good });
    expect(key[name as keyof Key]).toEqual(good);
    expect((await call(alice, "/v1/keys", { body: { name: "bound", [name]: bad } })).status).toBe(422);
    const patched = (value: unknown): Promise<Response> =>
      call(alice, `/v1/keys/${key.id}`, { method: "PATCH", body: { [name]: value } });
    expect((await patched(bad)).status).toBe(422);
    expect((await patched(good)).status).toBe(200);
    expect(await read(alice, key.id)).toEqual(key);
  });

  it("an organization's key lives on when its maker is gone", async () => {
    const gone = await scene.person();
    const { key, secret } = await make(gone, { name: "stays", owner: { kind: "organization" } });
    await scene.owner.db.deleteFrom("users").where("id", "=", uuidOf("user", gone.userId)!).execute();
    expect(await verify(secret)).toMatchObject({ valid: true, key_id: key.id, owner: { kind: "organization" } });
  });
});

describe("root keys", () => {
  it("manage the organization's plain keys, and are named in the audit log", async () => {
    const { secret: root, key: rootKey } = await make(alice, { name: "root", kind: "rk", scopes: ["keys:*"] });
    const { key, secret } = await make(root, { name: "made by a key" });
    expect(key).toMatchObject({ organization_id: alice.organizationId, owner: { kind: "organization", id: null }, kind: "sk" });
    expect(await read(root, key.id)).toEqual(key);
    expect((await call(root, `/v1/keys/${key.id}`, { method: "PATCH", body: { name: "renamed" } })).status).toBe(200);
    for (const step of ["disable", "enable"]) expect((await change(root, key.id, step)).status).toBe(200);
    expect((await change(root, key.id, "rotate", { overlap_seconds: 60 })).status).toBe(200);
    expect((await change(root, key.id, "revoke")).status).toBe(200);
    expect(await verify(secret)).toEqual({ valid: false, code: "revoked" });
    const actors = (await auditOf(key.id)).map((entry) => entry.actor);
    expect(actors).toHaveLength(6);
    for (const actor of actors) expect(actor).toEqual({ kind: "key", id: rootKey.id });
  });

  it("make no key of their own kind or for services, own none for a person, and give no scope over keys", async () => {
    const { secret: root } = await make(alice, { name: "root", kind: "rk", scopes: ["keys:write"] });
    const attempt = (body: object): Promise<Response> => call(root, "/v1/keys", { body: { name: "x", ...body } });
    expect((await attempt({ kind: "rk", scopes: ["keys:read"] })).status).toBe(403);
    expect((await attempt({ kind: "svc", scopes: ["keys:verify"] })).status).toBe(403);
    expect((await attempt({ owner: { kind: "user", id: alice.userId } })).status).toBe(422);
    expect((await attempt({ scopes: ["keys:write"] })).status).toBe(422);
    expect((await attempt({ scopes: ["*"] })).status).toBe(422);
  });

  it("touch neither themselves, nor another root key, nor a service key", async () => {
    const { secret: root, key: own } = await make(admin, { name: "root", kind: "rk", scopes: ["keys:*"] });
    const { key: other } = await make(admin, { name: "other", kind: "rk", scopes: ["keys:read"] });
    const { key: service } = await make(admin, { name: "svc", kind: "svc", scopes: ["keys:verify"] });
    for (const { id } of [own, other, service]) {
      expect((await read(root, id)).id).toBe(id);
      for (const step of ["revoke", "disable", "enable"]) expect((await change(root, id, step)).status).toBe(403);
      expect((await change(root, id, "rotate", { overlap_seconds: 0 })).status).toBe(403);
      expect((await call(root, `/v1/keys/${id}`, { method: "PATCH", body: { name: "mine" } })).status).toBe(403);
    }
  });

  it("bound to models hand out no others, neither by making, changing nor rotating", async () => {
    const { secret: root } = await make(alice, { name: "root", kind: "rk", scopes: ["keys:*"], models: ["a", "b"] });
    expect((await make(root, { name: "inherits" })).key.models).toEqual(["a", "b"]);
    const { key } = await make(root, { name: "within", models: ["a"] });
    for (const models of [null, ["a", "c"]]) {
      expect((await call(root, "/v1/keys", { body: { name: "x", models } })).status).toBe(422);
      expect((await call(root, `/v1/keys/${key.id}`, { method: "PATCH", body: { models } })).status).toBe(422);
    }
    const { key: wide } = await make(alice, { name: "every model" });
    expect((await change(root, wide.id, "rotate", { overlap_seconds: 0 })).status).toBe(403);
    expect((await change(root, wide.id, "enable")).status).toBe(403);
    expect((await change(root, wide.id, "revoke")).status).toBe(200);
  });

  it("need the scope of the route; another kind of key never manages keys", async () => {
    const { secret: reader } = await make(alice, { name: "reader", kind: "rk", scopes: ["keys:read"] });
    const { secret: plain } = await make(alice, { name: "plain" });
    const { secret: allMighty } = await make(admin, { name: "all", kind: "svc", scopes: ["*"] });
    const { key } = await make(alice, { name: "target" });
    expect((await call(reader, "/v1/keys")).status).toBe(200);
    for (const secret of [reader, plain, allMighty]) {
      expect((await call(secret, "/v1/keys", { body: { name: "x" } })).status).toBe(403);
      expect((await call(secret, `/v1/keys/${key.id}`, { method: "PATCH", body: { name: "x" } })).status).toBe(403);
      for (const step of ["revoke", "disable", "enable"]) expect((await change(secret, key.id, step)).status).toBe(403);
      expect((await change(secret, key.id, "rotate", { overlap_seconds: 0 })).status).toBe(403);
    }
    for (const secret of [plain, allMighty]) {
      expect((await call(secret, "/v1/keys")).status).toBe(403);
      expect((await call(secret, `/v1/keys/${key.id}`)).status).toBe(403);
    }
  });

  it("of the organization with every scope over keys do not verify the keys of others", async () => {
    const { secret: root } = await make(alice, { name: "root", kind: "rk", scopes: ["keys:*"], owner: { kind: "organization" } });
    const { secret } = await make(bob, { name: "foreign" });
    expect((await call(root, "/v1/keys/verify", { body: { key: secret } })).status).toBe(403);
  });

  it("work from the addresses that they are bound to, and from no other", async () => {
    const root = { name: "root", kind: "rk", scopes: ["keys:read"] };
    const { secret: near } = await make(alice, { ...root, ip_allow: ["127.0.0.0/8", "::1"] });
    const { secret: far } = await make(alice, { ...root, ip_allow: ["203.0.113.0/24"] });
    expect((await call(near, "/v1/keys")).status).toBe(200);
    expect((await call(far, "/v1/keys")).status).toBe(403);
  });

  it("see nothing of another organization", async () => {
    const { secret: root } = await make(bob, { name: "root", kind: "rk", scopes: ["keys:*"] });
    const { key } = await make(alice, { name: "not theirs" });
    expect((await call(root, `/v1/keys/${key.id}`)).status).toBe(404);
    expect((await change(root, key.id, "revoke")).status).toBe(404);
    const listed = (await (await call(root, "/v1/keys")).json()) as { data: Key[] };
    expect(new Set(listed.data.map((one) => one.organization_id))).toEqual(new Set([bob.organizationId]));
  });
});

async function auditOf(keyId: string): Promise<{ action: string; actor: unknown; details: unknown }[]> {
  const rows = await scene.owner.db
    .selectFrom("audit_log")
    .select(["action", "actor", "details", "targets"])
    .where("action", "like", "key.%")
    .orderBy("recorded_at")
    .execute();
  return rows.filter((row) => JSON.stringify(row.targets).includes(keyId));
}

function call(by: ScenePerson | string, path: string, options?: Parameters<KeysScene["call"]>[2]): Promise<Response> {
  return scene.call(service.url + path, by, options);
}

function change(by: ScenePerson | string, id: string, step: string, body: unknown = {}): Promise<Response> {
  return call(by, `/v1/keys/${id}/${step}`, { body });
}

async function make(by: ScenePerson | string, body: unknown): Promise<CreatedKey> {
  const answer = await call(by, "/v1/keys", { body });
  expect(answer.status).toBe(201);
  const made = (await answer.json()) as CreatedKey;
  secretsSeen.push(made.secret);
  return made;
}

async function read(by: ScenePerson | string, id: string): Promise<Key> {
  const answer = await call(by, `/v1/keys/${id}`);
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { key: Key }).key;
}

async function verify(key: string): Promise<unknown> {
  const answer = await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
  expect(answer.status).toBe(200);
  return await answer.json();
}
