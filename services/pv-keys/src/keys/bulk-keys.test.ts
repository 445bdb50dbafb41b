import { hash, randomBytes } from "node:crypto";
import { loadConfig } from "@nexus/config";
import type { BulkCreated, BulkRevoked, ImportedKeys } from "@nexus/contracts/bulk-keys";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { newId, uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

interface Refusal {
  code: string;
  detail: string;
  errors: { pointer: string; detail: string }[];
  rows?: number[];
}

const logs = captureLogs();
let scene: KeysScene;
let service: RunningService;
let alice: ScenePerson;
let bob: ScenePerson;
let admin: ScenePerson;
let root: string;

beforeAll(async () => {
  scene = await openKeysScene();
  [alice, bob, admin] = await Promise.all([scene.person(), scene.person(), scene.person(["admin"])]);
  const logger = createLogger({ service: "pv-keys", level: "debug", destination: logs.stream });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
  root = (await make(alice, { name: "root", kind: "rk", scopes: ["keys:*"] })).secret;
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

describe("making many keys", () => {
  it("answers them in order, each with its secret, its audit entry and a revision of its own", async () => {
    const keys = Array.from({ length: 100 }, (_, i) => ({ name: `k${i}`, tags: ["bulk"] }));
    const answer = await post(alice, "/v1/keys/bulk-create", { keys });
    expect(answer.status).toBe(201);
    const { data } = (await answer.json()) as BulkCreated;
    expect(data.map(({ key }) => key.name)).toEqual(keys.map(({ name }) => name));
    const revs = data.map(({ key }) => key.rev);
    expect(revs).toEqual(Array.from({ length: 100 }, (_, i) => revs[0]! + i));
    const changes = await scene.owner.db
      .selectFrom("changes")
      .select(["rev", "subject_id"])
      .where("rev", ">=", BigInt(revs[0]!))
      .execute();
    const subjects = new Map(changes.map(({ rev, subject_id }) => [Number(rev), subject_id]));
    for (const { key } of data) expect(subjects.get(key.rev)).toBe(uuidOf("key", key.id));
    for (const { key, secret } of [data[0]!, data[99]!]) {
      expect(secret.startsWith(key.prefix)).toBe(true);
      expect(await verify(secret)).toMatchObject({ valid: true, key_id: key.id });
      expect(logs.text()).not.toContain(secret.slice(21));
    }
    expect((await auditOf("key.created")).filter((target) => data.some(({ key }) => target === key.id))).toHaveLength(100);
  });

  it("makes none when one is wrong, and names it", async () => {
    const before = await count();
    const keys = [{ name: "fine" }, { name: "bad", ip_allow: ["10.0.0.5/8"] }, { name: "worse", scopes: ["*"] }];
    const answer = await post(alice, "/v1/keys/bulk-create", { keys });
    expect(answer.status).toBe(422);
    const pointers = ((await answer.json()) as Refusal).errors.map(({ pointer }) => pointer);
    expect(pointers).toEqual(["/keys/1/ip_allow/0", "/keys/2/scopes/0"]);
    const service = [{ name: "fine" }, { name: "svc", kind: "svc", scopes: ["keys:verify"] }];
    expect((await post(alice, "/v1/keys/bulk-create", { keys: service })).status).toBe(403);
    expect(await count()).toBe(before);
  });

  it.each([{}, { keys: [] }, { keys: Array.from({ length: 101 }, () => ({ name: "x" })) }, { keys: [{ name: "x", colour: 1 }] }])(
    "a body out of bounds is refused",
    async (body) => {
      expect((await post(alice, "/v1/keys/bulk-create", body)).status).toBe(422);
    },
  );

  it("works for root keys, and for nobody without a credential", async () => {
    expect((await post(root, "/v1/keys/bulk-create", { keys: [{ name: "by root" }] })).status).toBe(201);
    expect((await post("nonsense", "/v1/keys/bulk-create", { keys: [{ name: "x" }] })).status).toBe(401);
    const { secret } = await make(alice, { name: "plain" });
    expect((await post(secret, "/v1/keys/bulk-create", { keys: [{ name: "x" }] })).status).toBe(403);
  });
});

describe("revoking many keys", () => {
  it("ends all that are named with a revision each; those revoked before stay as they were", async () => {
    const made = await Promise.all(["a", "b", "c"].map((name) => make(alice, { name })));
    const ids = made.map(({ key }) => key.id);
    const first = await revoke(alice, { ids: ids.slice(0, 2) });
    expect(first).toMatchObject({ unchanged: 0, has_more: false });
    expect(first.revoked.map(({ id }) => id).toSorted()).toEqual(ids.slice(0, 2).toSorted());
    for (const { id, rev } of first.revoked) expect(await read(alice, id)).toMatchObject({ state: "revoked", rev });
    const second = await revoke(alice, { ids: [...ids, ids[0]] });
    expect(second).toMatchObject({ unchanged: 2, has_more: false });
    expect(second.revoked.map(({ id }) => id)).toEqual([ids[2]]);
    for (const { secret } of made) expect(await verify(secret)).toEqual({ valid: false, code: "revoked" });
    expect((await auditOf("key.revoked")).filter((target) => ids.some((id) => target === id))).toHaveLength(3);
  });

  it("ends none when one is not the organization's, and names it", async () => {
    const { key } = await make(alice, { name: "stays" });
    const { key: foreign } = await make(bob, { name: "foreign" });
    for (const bad of [foreign.id, newId("key"), "nonsense"]) {
      const answer = await post(alice, "/v1/keys/bulk-revoke", { ids: [key.id, bad] });
      expect(answer.status).toBe(404);
      expect(((await answer.json()) as Refusal).errors).toEqual([
        { pointer: "/ids/1", detail: "is no key of your organization" },
      ]);
    }
    expect((await read(alice, key.id)).state).toBe("active");
    expect((await read(bob, foreign.id)).state).toBe("active");
  });

  it("by filter ends what fits all of it, in this organization alone", async () => {
    const person = await scene.person(["admin"]);
    const body = { tags: ["leaked"], environment: "test" };
    const [fits, live, other] = [
      await make(person, { ...body, name: "fits" }),
      await make(person, { ...body, name: "live", environment: "live" }),
      await make(person, { ...body, name: "other", tags: ["else"] }),
    ];
    const { key: foreign } = await make(bob, { ...body, name: "foreign" });
    const owned = await make(person, { ...body, name: "owned", owner: { kind: "organization" } });
    const done = await revoke(person, { filter: { tag: "leaked", environment: "test", owner: person.userId } });
    expect(done).toMatchObject({ revoked: [{ id: fits.key.id }], unchanged: 0, has_more: false });
    for (const { key } of [live, other, owned]) expect((await read(person, key.id)).state).toBe("active");
    expect((await read(bob, foreign.id)).state).toBe("active");
    expect((await revoke(person, { filter: { owner: "organization" } })).revoked).toMatchObject([{ id: owned.key.id }]);
    expect(await revoke(person, { filter: { tag: "leaked", environment: "test" } })).toEqual({
      revoked: [],
      unchanged: 0,
      has_more: false,
    });
  });

  it("takes a thousand at a time and says when there are more", async () => {
    const person = await scene.person();
    await make(person, { name: "template", tags: ["many"] });
    const organization = uuidOf("organization", person.organizationId)!;
    const { id: _, ...template } = await scene.owner.db
      .selectFrom("api_keys")
      .selectAll()
      .where("organization_id", "=", organization)
      .executeTakeFirstOrThrow();
    const rows = Array.from({ length: 1001 }, () => ({ ...template, id: uuidOf("key", newId("key"))! }));
    const { limits, metadata } = { limits: "[]", metadata: "{}" };
    await scene.owner.db
      .insertInto("api_keys")
      .values(rows.map((row) => ({ ...row, limits, metadata })))
      .execute();
    const first = await revoke(person, { filter: { tag: "many" } });
    expect([first.revoked.length, first.has_more]).toEqual([1000, true]);
    const second = await revoke(person, { filter: { tag: "many" } });
    expect([second.revoked.length, second.has_more]).toEqual([2, false]);
  });

  it("of two at once over the same keys both succeed and each key is revoked once", async () => {
    const made = await Promise.all(Array.from({ length: 20 }, (_, i) => make(alice, { name: `r${i}` })));
    const ids = made.map(({ key }) => key.id);
    const answers = await Promise.all([revoke(alice, { ids }), revoke(alice, { ids: ids.toReversed() }), revoke(root, { ids })]);
    expect(answers.flatMap(({ revoked }) => revoked.map(({ id }) => id)).toSorted()).toEqual(ids.toSorted());
    expect(answers.reduce((sum, { unchanged }) => sum + unchanged, 0)).toBe(40);
  });

  it("a root key ends plain keys alone: others named are refused, others that fit are left", async () => {
    const person = await scene.person(["admin"]);
    const { secret: ownRoot, key: rootKey } = await make(person, {
      name: "root",
      kind: "rk",
      scopes: ["keys:write"],
      tags: ["t"],
    });
    const { key: plain } = await make(person, { name: "plain", tags: ["t"] });
    const { key: svc } = await make(person, { name: "svc", kind: "svc", scopes: ["keys:verify"], tags: ["t"] });
    expect((await post(ownRoot, "/v1/keys/bulk-revoke", { ids: [plain.id, svc.id] })).status).toBe(403);
    expect((await read(person, plain.id)).state).toBe("active");
    expect((await revoke(ownRoot, { filter: { tag: "t" } })).revoked.map(({ id }) => id)).toEqual([plain.id]);
    for (const { id } of [rootKey, svc]) expect((await read(person, id)).state).toBe("active");
  });

  it.each([
    {},
    { ids: [] },
    { filter: {} },
    { filter: { tag: "a" }, ids: ["key_1"] },
    { filter: { owner: "usr_1" } },
    { filter: { state: "active" } },
    { ids: Array.from({ length: 1001 }, () => "key_1") },
  ])("a body out of bounds is refused", async (body) => {
    expect((await post(alice, "/v1/keys/bulk-revoke", body)).status).toBe(422);
  });
});

describe("formats of foreign keys", () => {
  const format = { prefix: "fk-", min_length: 40, max_length: 64, alphabet: "base62" };

  it("are registered and forgotten by administrators alone, seen by everybody who reads keys", async () => {
    const made = await post(admin, "/v1/key-formats", { name: "acme", ...format });
    expect(made.status).toBe(201);
    expect(((await made.json()) as { format: object }).format).toMatchObject({ name: "acme", ...format });
    expect((await post(admin, "/v1/key-formats", { name: "acme", ...format })).status).toBe(409);
    for (const by of [alice, root]) {
      expect((await post(by, "/v1/key-formats", { name: "other", ...format })).status).toBe(403);
      expect((await remove(by, "acme")).status).toBe(403);
      const listed = (await (await scene.call(`${service.url}/v1/key-formats`, by)).json()) as { data: object[] };
      expect(listed.data).toMatchObject([{ name: "acme" }]);
    }
    expect((await post("nonsense", "/v1/key-formats", { name: "other", ...format })).status).toBe(401);
    expect((await remove(admin, "acme")).status).toBe(200);
    expect((await remove(admin, "acme")).status).toBe(404);
    expect((await auditOf("key_format.created", "key_format.removed")).filter((id) => id === "acme")).toHaveLength(2);
    const changes = await scene.owner.db.selectFrom("changes").select("rev").where("kind", "=", "key_format").execute();
    expect(changes).toHaveLength(2);
  });

  it.each([
    [{ prefix: "pv_" }, "/prefix"],
    [{ prefix: "pv_sk_" }, "/prefix"],
    [{ prefix: "p" }, "/prefix"],
    [{ prefix: "a b" }, "/prefix"],
    [{ prefix: "" }, "/prefix"],
    [{ min_length: 26 }, "/min_length"],
    [{ min_length: 15 }, "/min_length"],
    [{ max_length: 39 }, "/max_length"],
    [{ max_length: 513 }, "/max_length"],
    [{ alphabet: "emoji" }, "/alphabet"],
    [{ name: "Acme" }, "/name"],
    [{ regex: ".*" }, "/regex"],
  ])("%j is refused, naming %s", async (part, pointer) => {
    const answer = await post(admin, "/v1/key-formats", { name: "bad", ...format, ...part });
    expect(answer.status).toBe(422);
    expect(((await answer.json()) as Refusal).errors.map((error) => error.pointer)).toContain(pointer);
  });
});

describe("importing keys by their hash", () => {
  const foreign = (): { key: string; sha256: string } => {
    const key = `imp_${randomBytes(24).toString("hex")}`;
    return { key, sha256: hash("sha256", key, "hex") };
  };
  const row = (part: object = {}): Record<string, unknown> => {
    const { key, sha256 } = foreign();
    return { name: "imported", sha256, prefix: key.slice(0, 8), format: "imp", ...part };
  };

  beforeAll(async () => {
    const format = { name: "imp", prefix: "imp_", min_length: 52, max_length: 52, alphabet: "hex" };
    await post(admin, "/v1/key-formats", format);
  });

  it("takes a thousand, each where a verifier finds it, and stores no plain hash", async () => {
    const keys = Array.from({ length: 1000 }, (_, i) => row({ name: `i${i}`, tags: ["moved"] }));
    const answer = await post(alice, "/v1/keys/import", { keys });
    expect(answer.status).toBe(201);
    const { data } = (await answer.json()) as ImportedKeys;
    expect(data.map(({ name }) => name)).toEqual(keys.map(({ name }) => name));
    expect(data[7]).toMatchObject({ kind: "sk", state: "active", prefix: keys[7]!["prefix"], versions: [{ format: "imp" }] });
    const stored = await scene.owner.db
      .selectFrom("verifiable_keys")
      .select(["hash", "format"])
      .where("key_id", "=", uuidOf("key", data[7]!.id)!)
      .executeTakeFirstOrThrow();
    expect(stored.format).toBe("imp");
    expect(stored.hash.toString("hex")).not.toBe(keys[7]!["sha256"]);
    expect((await auditOf("key.imported")).filter((target) => data.some(({ id }) => target === id))).toHaveLength(1000);
    expect((await remove(admin, "imp")).status).toBe(409);
  });

  it("whoever holds such a key goes on using it, with its new limits, until it is revoked", async () => {
    const { key, sha256 } = foreign();
    // Its holder may have tried it here before it was imported.
    expect(await verify(key)).toEqual({ valid: false, code: "not_found" });
    const answer = await post(alice, "/v1/keys/import", { keys: [row({ sha256, scopes: ["ai:chat"] })] });
    const [imported] = ((await answer.json()) as ImportedKeys).data;
    expect(await waitFor(async () => await validOf(key))).toMatchObject({ key_id: imported!.id, scopes: ["ai:chat"] });
    expect(await verify(foreign().key)).toEqual({ valid: false, code: "not_found" });
    await post(alice, `/v1/keys/${imported!.id}/revoke`, {});
    expect(await verify(key)).toEqual({ valid: false, code: "revoked" });
  });

  it("one wrong row refuses all of them, and every wrong row is named by its number", async () => {
    const before = await count();
    const twice = row();
    const known = row();
    expect((await post(alice, "/v1/keys/import", { keys: [known] })).status).toBe(201);
    const keys = [
      row(),
      row({ sha256: "xyz" }),
      row({ format: "unknown" }),
      row({ prefix: "other_" }),
      row({ prefix: "imp_123456789" }),
      twice,
      twice,
      { ...known, sha256: String(known["sha256"]).toUpperCase() },
      row({ scopes: ["*"] }),
      row(),
    ];
    const answer = await post(alice, "/v1/keys/import", { keys });
    expect(answer.status).toBe(422);
    const refusal = (await answer.json()) as Refusal;
    expect(refusal.rows).toEqual([1, 2, 3, 4, 6, 7, 8]);
    expect(refusal.errors.map(({ pointer }) => pointer)).toEqual(
      expect.arrayContaining([
        "/keys/1/sha256",
        "/keys/2/format",
        "/keys/3/prefix",
        "/keys/6/sha256",
        "/keys/7/sha256",
        "/keys/8/scopes/0",
      ]),
    );
    expect(await count()).toBe(before + 1);
  });

  it("a key that another organization holds cannot be taken over", async () => {
    const taken = row();
    expect((await post(alice, "/v1/keys/import", { keys: [taken] })).status).toBe(201);
    const answer = await post(bob, "/v1/keys/import", { keys: [taken] });
    expect(answer.status).toBe(422);
    expect(((await answer.json()) as Refusal).rows).toEqual([0]);
  });

  it("of several imports of one key at once exactly one succeeds", async () => {
    const keys = [row()];
    const answers = await Promise.all(Array.from({ length: 6 }, () => post(root, "/v1/keys/import", { keys })));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, ...Array<number>(5).fill(422)]);
  });

  it("of a format that is removed at this very moment is refused by name", async () => {
    const format = { name: "gone", prefix: "gone_", min_length: 52, max_length: 52, alphabet: "hex" };
    expect((await post(admin, "/v1/key-formats", format)).status).toBe(201);
    const send = (headers: object) => {
      const body = { keys: [row({ format: "gone", prefix: "gone_1" })] };
      return scene.call(`${service.url}/v1/keys/import`, alice, { body, headers });
    };
    const answers = await scene.owner.db.transaction().execute(async (tx) => {
      await tx.deleteFrom("key_formats").where("name", "=", "gone").execute();
      const sent = [send({}), send({ "idempotency-key": newId("request") })];
      await waitFor(async () => {
        const { rows } = await sql`SELECT FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(scene.owner.db);
        return rows.length === 2;
      });
      return sent;
    });
    const [plain, once] = await Promise.all(answers);
    expect(plain!.status).toBe(422);
    expect(((await plain!.json()) as Refusal).errors[0]!.pointer).toBe("/keys/0/format");
    // Its transaction also keeps the idempotency key, so it cannot look again.
    expect(once!.status).toBe(409);
  });

  it("an imported key is rotated into one of ours, and its old form goes on for the overlap", async () => {
    const answer = await post(alice, "/v1/keys/import", { keys: [row()] });
    const [key] = ((await answer.json()) as ImportedKeys).data;
    const rotated = await post(alice, `/v1/keys/${key!.id}/rotate`, { overlap_seconds: 3600 });
    const { key: after, secret } = (await rotated.json()) as CreatedKey;
    expect(after.versions.map(({ format }) => format)).toEqual([null, "imp"]);
    expect(await verify(secret)).toMatchObject({ valid: true, key_id: key!.id });
  });

  it.each([
    {},
    { keys: [] },
    { keys: [{ name: "x" }] },
    { keys: [{ ...row(), kind: "svc" }] },
    { keys: Array.from({ length: 1001 }, () => ({ name: "x", sha256: "", prefix: "", format: "" })) },
  ])("a body out of bounds is refused", async (body) => {
    expect((await post(alice, "/v1/keys/import", body)).status).toBe(422);
  });

  it("takes a signed-in person or a root key", async () => {
    expect((await post("nonsense", "/v1/keys/import", { keys: [row()] })).status).toBe(401);
    const { secret } = await make(alice, { name: "plain" });
    expect((await post(secret, "/v1/keys/import", { keys: [row()] })).status).toBe(403);
  });
});

function post(by: ScenePerson | string, path: string, body: unknown): Promise<Response> {
  return scene.call(service.url + path, by, { body });
}

function remove(by: ScenePerson | string, name: string): Promise<Response> {
  return scene.call(`${service.url}/v1/key-formats/${name}`, by, { method: "DELETE" });
}

async function make(by: ScenePerson | string, body: unknown): Promise<CreatedKey> {
  const answer = await post(by, "/v1/keys", body);
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

async function revoke(by: ScenePerson | string, body: unknown): Promise<BulkRevoked> {
  const answer = await post(by, "/v1/keys/bulk-revoke", body);
  expect(answer.status).toBe(200);
  return (await answer.json()) as BulkRevoked;
}

async function read(by: ScenePerson, id: string): Promise<Key> {
  return ((await (await scene.call(`${service.url}/v1/keys/${id}`, by)).json()) as { key: Key }).key;
}

async function count(): Promise<number> {
  return (await scene.owner.db.selectFrom("api_keys").select("id").execute()).length;
}

/** The ids of what the entries of these actions are about. */
async function auditOf(...actions: string[]): Promise<unknown[]> {
  const rows = await scene.owner.db.selectFrom("audit_log").select("targets").where("action", "in", actions).execute();
  return rows.flatMap(({ targets }) => (targets as { id: string }[]).map(({ id }) => id));
}

async function validOf(key: string): Promise<unknown> {
  const answer = await verify(key);
  return (answer as { valid: boolean }).valid ? answer : undefined;
}

async function verify(key: string): Promise<unknown> {
  const answer = await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
  return await answer.json();
}
