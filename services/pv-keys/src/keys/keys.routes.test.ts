import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@nexus/config";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { generateApiKey, newId, uuidOf } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, createTestDatabase, type FakeIssuer, startFakeIssuer, type TestDatabase, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

const logs = captureLogs();
const secretsSeen: string[] = [];
let database: TestDatabase;
let owner: Database;
const folder = mkdtempSync(join(tmpdir(), "pv-keys-"));
let issuer: FakeIssuer;
let service: RunningService;
let alice: ReturnType<FakeIssuer["person"]>;
let bob: ReturnType<FakeIssuer["person"]>;
let admin: ReturnType<FakeIssuer["person"]>;
let serviceToken: string;
let environment: Record<string, string>;

beforeAll(async () => {
  [database, issuer] = await Promise.all([createTestDatabase(), startFakeIssuer()]);
  owner = openDatabase(database.owner, { applicationName: "test" });
  [alice, bob, admin] = [issuer.person(), issuer.person(), issuer.person(["admin"])];
  for (const person of [alice, bob, admin]) await insertPerson(person);
  serviceToken = randomBytes(32).toString("base64url");
  writeFileSync(join(folder, "own"), randomBytes(32).toString("base64url"));
  writeFileSync(join(folder, "gateway"), serviceToken);
  environment = {
    PORT: "0",
    DB_HOST: database.keys.host,
    DB_PORT: String(database.keys.port),
    DB_NAME: database.keys.database,
    DB_USER: database.keys.user,
    DB_PASSWORD: database.keys.password,
    NEXUS_AUDIT_KEY: randomBytes(32).toString("base64url"),
    NEXUS_KEY_PEPPERS: `1:${randomBytes(32).toString("base64url")}`,
    NEXUS_SERVICE_TOKEN_FILE: join(folder, "own"),
    NEXUS_CALLER_TOKEN_FILES: `puaboai-sdk=${join(folder, "gateway")}`,
    NEXUS_PUBLIC_URL: issuer.url,
    PUABO_API_URL: issuer.url,
  };
  const config = loadConfig(configSchema, environment, configRules);
  service = await startService(config, {
    logger: createLogger({ service: "pv-keys", level: "debug", destination: logs.stream }),
  });
});

afterAll(async () => {
  await service.close();
  await Promise.all([owner.close(), issuer.close()]);
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

describe("making a key", () => {
  it("reveals the secret once and stores neither it nor its plain hash", async () => {
    const answer = await call("POST", "/v1/keys", alice, { name: "first" });
    expect(answer.status).toBe(201);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const { key, secret } = (await answer.json()) as CreatedKey;
    secretsSeen.push(secret);
    expect(secret).toMatch(/^pv_sk_live_[0-9A-Za-z]{48}$/);
    expect(key).toMatchObject({
      name: "first",
      kind: "sk",
      environment: "live",
      state: "active",
      scopes: ["ai:*", "usage:read"],
      models: null,
    });
    expect(secret.startsWith(key.prefix)).toBe(true);
    expect(Date.parse(key.expires_at!) - Date.parse(key.created_at)).toBe(90 * 24 * 3600 * 1000);
    const rows = await owner.db.selectFrom("api_key_versions").selectAll().where("key_id", "=", uuidOf("key", key.id)!).execute();
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(secret.slice(21));
    expect((await (await call("GET", `/v1/keys/${key.id}`, alice)).text()).includes(secret.slice(21))).toBe(false);
  });

  it("leaves one audit entry and one revision of the change feed", async () => {
    const { key } = await make(alice, { name: "audited" });
    const entries = await owner.db
      .selectFrom("audit_log")
      .select(["action", "targets", "actor"])
      .where("action", "=", "key.created")
      .execute();
    expect(entries.filter((entry) => JSON.stringify(entry.targets).includes(key.id))).toHaveLength(1);
    const changes = await owner.db.selectFrom("changes").selectAll().where("subject_id", "=", uuidOf("key", key.id)!).execute();
    expect(changes.map((change) => Number(change.rev))).toEqual([key.rev]);
  });

  it.each([
    [{}, "/name"],
    [{ name: "" }, "/name"],
    [{ name: "x".repeat(201) }, "/name"],
    [{ name: 5 }, "/name"],
    [{ name: "x", colour: "red" }, "/colour"],
    [{ name: "x", limits: {} }, "/limits"],
    [{ name: "x", kind: "root" }, "/kind"],
    [{ name: "x", kind: "rk" }, "/scopes"],
    [{ name: "x", scopes: [] }, "/scopes"],
    [{ name: "x", scopes: ["everything"] }, "/scopes/0"],
    [{ name: "x", expires_at: "yesterday" }, "/expires_at"],
    [{ name: "x", expires_at: "2020-01-01T00:00:00Z" }, "/expires_at"],
    [{ name: "x", metadata: { a: "b".repeat(17_000) } }, "/metadata"],
    [{ name: "x", metadata: { a: "\u0000" } }, "/metadata/a"],
    [{ name: "a\u0000b" }, "/name"],
    [{ name: "two\nlines" }, "/name"],
    [{ name: "x", scopes: ["keys:verify"] }, "/scopes/0"],
    [{ name: "x", scopes: ["*"] }, "/scopes/0"],
    [{ name: "x", models: [""] }, "/models/0"],
    [{ name: "x", tags: Array.from({ length: 51 }, String) }, "/tags"],
    [{ name: "x", expires_at: "2030-12-31T23:59:60Z" }, "/expires_at"],
    [{ name: "x", metadata: { n: Array.from({ length: 60 }, () => 1e300) } }, "/metadata"],
    [{ name: "x", metadata: { half: "\ud800" } }, "/metadata"],
    [{ name: "x", metadata: JSON.parse(`${'{"a":'.repeat(500)}1${"}".repeat(500)}`) as unknown }, "/metadata"],
    [{ name: "x", metadata: [] }, "/metadata"],
  ])("%o is refused, naming %s", async (body, pointer) => {
    const answer = await call("POST", "/v1/keys", alice, body);
    expect(answer.status).toBe(422);
    const { errors } = (await answer.json()) as { errors: { pointer: string }[] };
    expect(errors.map((error) => error.pointer)).toContain(pointer);
  });

  it.each(["1", '"\\u0000"'])("metadata nested ten thousand deep around %s is refused, not fallen over", async (inner) => {
    const answer = await fetch(`${service.url}/v1/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${issuer.token(alice, "pv-keys")}`, "content-type": "application/json" },
      body: `{"name":"x","metadata":${'{"a":'.repeat(10_000)}${inner}${"}".repeat(10_000)}}`,
    });
    expect(answer.status).toBe(422);
  });

  it("keeps what it was given, up to the last byte of metadata", async () => {
    const person = issuer.person();
    await insertPerson(person);
    const metadata = { text: "x".repeat(16 * 1024 - '{"text": ""}'.length) };
    const expires_at = new Date(Date.now() + 1000_000).toISOString();
    const given = {
      name: "😀 all",
      environment: "test",
      scopes: ["ai:chat"],
      models: ["a", "b"],
      tags: ["t"],
      metadata,
      expires_at,
    };
    const { key } = await make(person, given);
    expect(key).toMatchObject(given);
    expect(await (await call("GET", `/v1/keys/${key.id}`, person)).json()).toEqual({ key });
    expect((await make(person, { name: "for ever", expires_at: null })).key.expires_at).toBeNull();
  });

  it("is refused for an account that is no longer there, and leaves nothing behind", async () => {
    const answer = await call("POST", "/v1/keys", issuer.person(), { name: "ghost" });
    expect(answer.status).toBe(401);
    const left = await owner.db.selectFrom("api_keys").select("id").where("name", "=", "ghost").execute();
    expect(left).toEqual([]);
  });

  it("makes service keys for administrators alone", async () => {
    const body = { name: "checker", kind: "svc", scopes: ["keys:verify"] };
    expect((await call("POST", "/v1/keys", alice, body)).status).toBe(403);
    expect((await call("POST", "/v1/keys", admin, body)).status).toBe(201);
  });
});

describe("who sees a key", () => {
  it("nobody without a valid token", async () => {
    const foreign = issuer.token(alice, "puaboai-sdk");
    const expired = issuer.token(alice, "pv-keys", { exp: Math.floor(Date.now() / 1000) - 60 });
    const unsigned = issuer.token(alice, "pv-keys").replace(/[^.]+$/, "AAAA");
    for (const token of [
      undefined,
      "nonsense",
      foreign,
      expired,
      unsigned,
      issuer.token(alice, "pv-keys", {}, { alg: "none" }),
    ]) {
      const answer = await fetch(`${service.url}/v1/keys`, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      });
      expect(answer.status).toBe(401);
      expect(answer.headers.get("www-authenticate")).toContain("Bearer");
    }
  });

  it("another organization's key does not exist, nor can it be revoked", async () => {
    const { key } = await make(alice, { name: "mine" });
    expect((await call("GET", `/v1/keys/${key.id}`, bob)).status).toBe(404);
    expect((await call("POST", `/v1/keys/${key.id}/revoke`, bob)).status).toBe(404);
    expect((await call("GET", `/v1/keys/${key.id}`, alice)).status).toBe(200);
    for (const id of ["nonsense", newId("key"), newId("user")])
      expect((await call("GET", `/v1/keys/${id}`, alice)).status).toBe(404);
  });

  it("pages show each key of the organization once, newest first", async () => {
    const person = issuer.person();
    await insertPerson(person);
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.unshift((await make(person, { name: `k${i}` })).key.id);
    const seen: string[] = [];
    let query = "?limit=2";
    for (let i = 0; i < 4 && query !== ""; i++) {
      const { data, next_cursor } = (await (await call("GET", `/v1/keys${query}`, person)).json()) as {
        data: Key[];
        next_cursor: string | null;
      };
      seen.push(...data.map((key) => key.id));
      query = next_cursor === null ? "" : `?limit=2&cursor=${next_cursor}`;
    }
    expect(seen).toEqual(made);
    expect((await call("GET", "/v1/keys?cursor=forged", person)).status).toBe(422);
    expect((await call("GET", "/v1/keys?limit=101", person)).status).toBe(422);
  });
});

describe("verifying", () => {
  it("tells a service of the platform whether a key is good", async () => {
    const { key, secret } = await make(alice, { name: "v", models: ["embedded-echo"] });
    const answer = await verify(secret);
    expect(answer).toEqual({
      valid: true,
      key_id: key.id,
      organization_id: alice.organizationId,
      owner: { kind: "user", id: alice.userId },
      kind: "sk",
      environment: "live",
      version: 1,
      state: "active",
      expires_at: key.expires_at,
      scopes: ["ai:*", "usage:read"],
      models: ["embedded-echo"],
      ip_allow: null,
      limits: [],
      concurrency: null,
      quota: null,
      budget_ids: [],
      tags: [],
      created_at: key.created_at,
      rev: key.rev,
    });
    expect(await verify(secret, "ai:chat")).toMatchObject({ valid: true });
    expect(await verify(secret, "keys:verify")).toEqual({ valid: false, code: "insufficient_scope" });
  });

  it("answers what is no key as it answers an unknown one", async () => {
    const unknown = generateApiKey("sk", "live").key;
    for (const text of [
      unknown,
      "x",
      `${unknown}x`,
      unknown.replace("pv_", "pv\u200b_"),
      "",
      "a".repeat(1024),
      "a".repeat(20_000),
      unknown.slice(0, -1),
    ]) {
      expect(await verify(text)).toEqual({ valid: false, code: "not_found" });
    }
  });

  it("refuses a revoked key, and revoking it again changes nothing", async () => {
    const { key, secret } = await make(alice, { name: "r" });
    const first = (await (await call("POST", `/v1/keys/${key.id}/revoke`, alice)).json()) as { key: Key };
    expect(first.key).toMatchObject({ state: "revoked" });
    expect(first.key.rev).toBeGreaterThan(key.rev);
    expect(await verify(secret)).toEqual({ valid: false, code: "revoked" });
    const second = (await (await call("POST", `/v1/keys/${key.id}/revoke`, alice)).json()) as { key: Key };
    expect(second).toEqual(first);
    const entries = await owner.db.selectFrom("audit_log").select("targets").where("action", "=", "key.revoked").execute();
    expect(entries.filter((entry) => JSON.stringify(entry.targets).includes(key.id))).toHaveLength(1);
  });

  it("refuses a key from the moment it expires", async () => {
    const { key, secret } = await make(alice, { name: "e" });
    await owner.db
      .updateTable("api_keys")
      .set({ expires_at: new Date(Date.now() - 1) })
      .where("id", "=", uuidOf("key", key.id)!)
      .execute();
    expect(await verify(secret)).toEqual({ valid: false, code: "expired" });
    expect(await (await call("GET", `/v1/keys/${key.id}`, alice)).json()).toMatchObject({ key: { state: "expired" } });
    const listed = (await (await call("GET", "/v1/keys?state=expired", alice)).json()) as { data: Key[] };
    expect(listed.data.map((one) => one.id)).toEqual([key.id]);
  });

  it("a secret that retires ends there, whatever the key's own time is", async () => {
    const { key, secret } = await make(alice, { name: "retires" });
    const soon = new Date(Date.now() + 700);
    const id = uuidOf("key", key.id)!;
    await owner.db.updateTable("api_key_versions").set({ retires_at: soon }).where("key_id", "=", id).execute();
    expect(await verify(secret)).toMatchObject({ valid: true, expires_at: soon.toISOString() });
    // Nothing is written when the time comes, and nobody is told.
    await waitFor(async () => !((await verify(secret)) as { valid: boolean }).valid);
    expect(await verify(secret)).toEqual({ valid: false, code: "expired" });
    expect(Date.now()).toBeGreaterThanOrEqual(soon.getTime() - 100);
  });

  it("revoking takes no option that is not there yet", async () => {
    const { key } = await make(alice, { name: "options" });
    expect((await call("POST", `/v1/keys/${key.id}/revoke?now=1`, alice)).status).toBe(422);
    expect((await call("POST", `/v1/keys/${key.id}/revoke`, alice, { wait: 1 })).status).toBe(422);
    expect((await call("POST", `/v1/keys/${key.id}/revoke`, alice, {})).status).toBe(200);
  });

  it("of many revocations at once one is audited and all answer the same", async () => {
    const { key } = await make(alice, { name: "race" });
    const answers = await Promise.all(Array.from({ length: 8 }, () => call("POST", `/v1/keys/${key.id}/revoke`, alice)));
    const seen = new Set(await Promise.all(answers.map((answer) => answer.text())));
    expect(seen.size).toBe(1);
    const entries = await owner.db.selectFrom("audit_log").select("targets").where("action", "=", "key.revoked").execute();
    expect(entries.filter((entry) => JSON.stringify(entry.targets).includes(key.id))).toHaveLength(1);
  });

  it("on the published port takes a service key with the scope, and nothing else", async () => {
    const { secret: target } = await make(alice, { name: "t" });
    const { secret: checker } = await make(admin, { name: "c", kind: "svc", scopes: ["keys:verify"] });
    const ask = (token: string): Promise<Response> => post(`${service.url}/v1/keys/verify`, token, { key: target });
    expect(await (await ask(checker)).json()).toMatchObject({ valid: true });
    expect((await ask(target)).status).toBe(403);
    expect((await ask(issuer.token(alice, "pv-keys"))).status).toBe(403);
    expect((await ask(issuer.token(admin, "pv-keys"))).status).toBe(403);
    expect((await ask(serviceToken)).status).toBe(401);
    expect((await ask(generateApiKey("svc", "live").key)).status).toBe(401);
  });

  it("on the private port takes service tokens alone", async () => {
    const { secret } = await make(alice, { name: "p" });
    expect((await post(`${service.internalUrl}/v1/keys/verify`, secret, { key: secret })).status).toBe(401);
    expect((await post(`${service.internalUrl}/v1/keys/verify`, issuer.token(admin, "pv-keys"), { key: secret })).status).toBe(
      401,
    );
  });
});

it("does not start without the pepper of the stored keys, and says which one is missing", async () => {
  const config = loadConfig(
    configSchema,
    { ...environment, NEXUS_KEY_PEPPERS: `2:${randomBytes(32).toString("base64url")}` },
    configRules,
  );
  const logger = createLogger({ service: "pv-keys", level: "error" });
  await expect(startService(config, { logger })).rejects.toThrow("NEXUS_KEY_PEPPERS lacks version 1");
});

it("does not start with another secret under a pepper's version", async () => {
  const config = loadConfig(
    configSchema,
    { ...environment, NEXUS_KEY_PEPPERS: `1:${randomBytes(32).toString("base64url")}` },
    configRules,
  );
  const logger = createLogger({ service: "pv-keys", level: "error" });
  await expect(startService(config, { logger })).rejects.toThrow("NEXUS_KEY_PEPPERS holds another secret under version 1");
});

it("verifies old keys beside new ones after the pepper was changed", async () => {
  const { secret } = await make(alice, { name: "old pepper" });
  const peppers = `${environment["NEXUS_KEY_PEPPERS"]}\n2:${randomBytes(32).toString("base64url")}`;
  const config = loadConfig(configSchema, { ...environment, NEXUS_KEY_PEPPERS: peppers }, configRules);
  const second = await startService(config, { logger: createLogger({ service: "pv-keys", level: "error" }) });
  try {
    expect(await (await post(`${second.internalUrl}/v1/keys/verify`, serviceToken, { key: secret })).json()).toMatchObject({
      valid: true,
    });
  } finally {
    await second.close();
  }
});

it("no log line holds a key", () => {
  expect(secretsSeen.length).toBeGreaterThan(5);
  expect(logs.text()).toContain('"route":"/v1/keys"');
  for (const secret of secretsSeen) expect(logs.text()).not.toContain(secret.slice(21));
});

async function insertPerson(person: ReturnType<FakeIssuer["person"]>): Promise<void> {
  const [id, organization] = [uuidOf("user", person.userId)!, uuidOf("organization", person.organizationId)!];
  await owner.db.insertInto("organizations").values({ id: organization, name: "test", personal: true }).execute();
  await owner.db
    .insertInto("users")
    .values({ id, email: `${id}@example.test`, name: "Test" })
    .execute();
}

function call(method: string, path: string, person: ReturnType<FakeIssuer["person"]>, body?: unknown): Promise<Response> {
  const headers = {
    authorization: `Bearer ${issuer.token(person, "pv-keys")}`,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  return fetch(service.url + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

function post(url: string, token: string, body: unknown): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function make(person: ReturnType<FakeIssuer["person"]>, body: unknown): Promise<CreatedKey> {
  const answer = await call("POST", "/v1/keys", person, body);
  expect(answer.status).toBe(201);
  const made = (await answer.json()) as CreatedKey;
  secretsSeen.push(made.secret);
  return made;
}

async function verify(key: string, scope?: string): Promise<unknown> {
  const answer = await post(`${service.internalUrl}/v1/keys/verify`, serviceToken, {
    key,
    ...(scope === undefined ? {} : { scope }),
  });
  expect(answer.status).toBe(200);
  return await answer.json();
}
