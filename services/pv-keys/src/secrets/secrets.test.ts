import { hash, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@nexus/config";
import type { ProblemDocument } from "@nexus/contracts/common";
import type { ReadSecretAnswer, Secret, SecretVersion } from "@nexus/contracts/secrets";
import { newId, uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

const logs = captureLogs();
const folder = mkdtempSync(join(tmpdir(), "nexus-secrets-"));
/** Everything that was ever put in. */
const values: string[] = [];
/** Everything that ever came back, but for what readers got. */
const answers: string[] = [];
let scene: KeysScene;
let services: [RunningService, RunningService];
let alice: ScenePerson;
let bob: ScenePerson;
let admin: ScenePerson;
let otherToken: string;

beforeAll(async () => {
  scene = await openKeysScene();
  [alice, bob, admin] = [await scene.person(), await scene.person(), await scene.person(["user", "admin"])];
  otherToken = randomBytes(32).toString("base64url");
  writeFileSync(join(folder, "other"), otherToken);
  const environment = {
    ...scene.environment,
    NEXUS_CALLER_TOKEN_FILES: `${scene.environment["NEXUS_CALLER_TOKEN_FILES"]},puabo-api=${join(folder, "other")}`,
  };
  const start = () =>
    startService(loadConfig(configSchema, environment, configRules), {
      logger: createLogger({ service: "pv-keys", level: "debug", destination: logs.stream }),
    });
  services = [await start(), await start()];
});
afterAll(async () => {
  await Promise.all(services.map((service) => service.close()));
  await scene.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a secret", () => {
  it("goes in, is never shown to people, and is read by the service that it names", async () => {
    const value = fresh();
    const made = await send(alice, "POST", "/v1/secrets", { name: "openai", value, readers: ["puaboai-sdk"] });
    expect(made.status).toBe(201);
    const { secret } = (await made.json()) as { secret: Secret };
    expect(made.headers.get("location")).toBe(`/v1/secrets/${secret.id}`);
    expect(secret).toMatchObject({
      scope: "organization",
      organization_id: alice.organizationId,
      name: "openai",
      readers: ["puaboai-sdk"],
      version: 1,
      created_by: alice.userId,
    });
    expect(await (await send(alice, "GET", `/v1/secrets/${secret.id}`)).json()).toEqual({ secret });
    const answer = await read({ name: "openai", organization_id: alice.organizationId });
    expect(answer).toEqual({ id: secret.id, name: "openai", version: 1, value });
  });

  it("takes another value as its next version; the one before stays readable, older ones are destroyed", async () => {
    const [one, two, three] = [fresh(), fresh(), fresh()];
    const secret = await make(alice, { name: "rotated", value: one });
    expect((await send(alice, "POST", `/v1/secrets/${secret.id}/versions`, { value: two, if_version: 1 })).status).toBe(201);
    const late = await send(alice, "POST", `/v1/secrets/${secret.id}/versions`, { value: fresh(), if_version: 1 });
    expect([late.status, ((await late.json()) as { version: number }).version]).toEqual([409, 2]);
    const place = { name: "rotated", organization_id: alice.organizationId };
    expect(await read(place)).toMatchObject({ version: 2, value: two });
    expect(await read({ ...place, version: 1 })).toMatchObject({ version: 1, value: one });
    await send(alice, "POST", `/v1/secrets/${secret.id}/versions`, { value: three });
    expect((await ask({ ...place, version: 1 })).status).toBe(404);
    const list = (await (await send(alice, "GET", `/v1/secrets/${secret.id}/versions`)).json()) as { data: SecretVersion[] };
    expect(list.data.map(({ version, destroyed_at }) => [version, destroyed_at === null])).toEqual([
      [3, true],
      [2, true],
      [1, false],
    ]);
  });

  it("of several new values at once gets every one, each as a version of its own, over two replicas", async () => {
    const secret = await make(alice, { name: "raced" });
    const changes = await Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        send(alice, "POST", `/v1/secrets/${secret.id}/versions`, { value: fresh() }, services[at % 2]),
      ),
    );
    expect(changes.map(({ status }) => status)).toEqual(Array(8).fill(201));
    const seen = await Promise.all(changes.map(async (answer) => ((await answer.json()) as { secret: Secret }).secret.version));
    expect(seen.toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    const guarded = await Promise.all(
      Array.from({ length: 4 }, (_, at) =>
        send(alice, "POST", `/v1/secrets/${secret.id}/versions`, { value: fresh(), if_version: 9 }, services[at % 2]),
      ),
    );
    expect(guarded.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409]);
  });

  it("is destroyed when it is deleted, and its name is free again", async () => {
    const secret = await make(alice, { name: "gone" });
    expect((await send(alice, "POST", "/v1/secrets", { name: "gone", value: fresh(), readers: ["puaboai-sdk"] })).status).toBe(
      409,
    );
    expect((await send(alice, "DELETE", `/v1/secrets/${secret.id}`)).status).toBe(200);
    const place = { name: "gone", organization_id: alice.organizationId };
    expect((await ask(place)).status).toBe(404);
    for (const [method, path] of [
      ["GET", ""],
      ["DELETE", ""],
      ["GET", "/versions"],
    ] as const) {
      expect((await send(alice, method, `/v1/secrets/${secret.id}${path}`)).status).toBe(404);
    }
    const rows = await scene.owner.db.selectFrom("secret_versions").selectAll().where("secret_id", "=", uuid(secret)).execute();
    expect(rows).toMatchObject([{ ciphertext: null, wrapped_key: null }]);
    const again = await make(alice, { name: "gone" });
    expect(again.id).not.toBe(secret.id);
    expect(await read(place)).toMatchObject({ id: again.id, version: 1 });
  });

  it("is listed newest first, page by page", async () => {
    const person = await scene.person();
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) await make(person, { name });
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const answer = await send(person, "GET", `/v1/secrets?limit=2${cursor && `&cursor=${cursor}`}`);
      const page = (await answer.json()) as { data: Secret[]; next_cursor: string | null; has_more: boolean };
      seen.push(...page.data.map(({ name }) => name));
      expect(page.has_more).toBe(page.next_cursor !== null);
      cursor = page.next_cursor;
    }
    expect(seen).toEqual(names.toReversed());
  });

  it("tells every process that follows the change feed", async () => {
    const secret = await make(alice, { name: "announced" });
    const found = await scene.owner.db.selectFrom("changes").selectAll().where("subject_id", "=", uuid(secret)).execute();
    expect(found).toMatchObject([{ kind: "secret", organization_id: uuidOf("organization", alice.organizationId) }]);
    expect(Number(found[0]!.rev)).toBe(secret.rev);
  });
});

describe("whose a secret is", () => {
  it("another organization's secret does not exist", async () => {
    const secret = await make(alice, { name: "alices" });
    for (const [method, path, body] of [
      ["GET", ""],
      ["GET", "/versions"],
      ["PATCH", "", { readers: ["puaboai-sdk"] }],
      ["POST", "/versions", { value: fresh() }],
      ["DELETE", ""],
    ] as const) {
      for (const by of [bob, admin]) {
        expect((await send(by, method, `/v1/secrets/${secret.id}${path}`, body)).status).toBe(404);
      }
    }
    expect(await read({ name: "alices", organization_id: alice.organizationId })).toMatchObject({ version: 1 });
    expect((await ask({ name: "alices", organization_id: bob.organizationId })).status).toBe(404);
    expect((await ask({ name: "alices" })).status).toBe(404);
  });

  it("the installation's own are for administrators; one name may stand in both scopes", async () => {
    const value = fresh();
    const body = { name: "shared-name", value, readers: ["puaboai-sdk"], scope: "installation" };
    expect((await send(alice, "POST", "/v1/secrets", body)).status).toBe(403);
    const made = await send(admin, "POST", "/v1/secrets", body);
    expect(made.status).toBe(201);
    const { secret } = (await made.json()) as { secret: Secret };
    expect(secret).toMatchObject({ scope: "installation", organization_id: null });
    const own = await make(admin, { name: "shared-name" });
    expect((await send(alice, "GET", `/v1/secrets/${secret.id}`)).status).toBe(404);
    expect((await send(alice, "GET", "/v1/secrets?scope=installation")).status).toBe(403);
    const list = (await (await send(admin, "GET", "/v1/secrets?scope=installation")).json()) as { data: Secret[] };
    expect(list.data.map(({ id }) => id)).toContain(secret.id);
    expect(list.data.map(({ id }) => id)).not.toContain(own.id);
    expect(await read({ name: "shared-name" })).toMatchObject({ id: secret.id, value });
  });

  it("nobody else comes in: no credential, no key, no person on the private listener, no service on the published one", async () => {
    for (const [method, path] of [
      ["GET", "/v1/secrets"],
      ["POST", "/v1/secrets"],
      ["GET", `/v1/secrets/${newId("secret")}`],
      ["DELETE", `/v1/secrets/${newId("secret")}`],
    ] as const) {
      expect((await fetch(`${services[0].url}${path}`, { method })).status).toBe(401);
      expect((await scene.call(`${services[0].url}${path}`, scene.serviceToken, { method })).status).toBe(401);
    }
    const key = await scene.call(`${services[0].url}/v1/keys`, alice, {
      body: { name: "k", kind: "rk", scopes: ["keys:read", "keys:write"] },
    });
    const { secret } = (await key.json()) as { secret: string };
    expect((await scene.call(`${services[0].url}/v1/secrets`, secret)).status).toBe(403);
    const body = { name: "openai" };
    expect((await scene.call(`${services[0].internalUrl}/v1/secrets/read`, alice, { body })).status).toBe(401);
    expect((await scene.call(`${services[0].url}/v1/secrets/read`, scene.serviceToken, { body })).status).not.toBe(200);
  });
});

describe("reading", () => {
  it("is for the named services alone, and readers can be changed", async () => {
    const secret = await make(alice, { name: "for-one" });
    const place = { name: "for-one", organization_id: alice.organizationId };
    expect((await ask(place, otherToken)).status).toBe(403);
    const change = await send(alice, "PATCH", `/v1/secrets/${secret.id}`, { readers: ["puabo-api"] });
    expect(((await change.json()) as { secret: Secret }).secret.readers).toEqual(["puabo-api"]);
    expect((await ask(place, otherToken)).status).toBe(200);
    expect((await ask(place)).status).toBe(403);
  });

  it("stands in the audit log, refused or not, together with every change", async () => {
    const secret = await make(alice, { name: "audited" });
    await read({ name: "audited", organization_id: alice.organizationId });
    await ask({ name: "audited", organization_id: alice.organizationId }, otherToken);
    await send(alice, "POST", `/v1/secrets/${secret.id}/versions`, { value: fresh() });
    await send(alice, "DELETE", `/v1/secrets/${secret.id}`);
    const rows = await scene.owner.db
      .selectFrom("audit_log")
      .select(["action", "outcome", "actor", "targets", "organization_id"])
      .execute();
    const about = rows.filter(({ targets }) => JSON.stringify(targets).includes(secret.id));
    expect(
      about.map(({ action, outcome, actor }) => [action, outcome, (actor as { id: string }).id].join(" ")).toSorted(),
    ).toEqual([
      `secret.created success ${alice.userId}`,
      `secret.deleted success ${alice.userId}`,
      "secret.read denied puabo-api",
      "secret.read success puaboai-sdk",
      `secret.value_changed success ${alice.userId}`,
    ]);
    expect(new Set(about.map(({ organization_id }) => organization_id))).toEqual(
      new Set([uuidOf("organization", alice.organizationId)]),
    );
  });

  it("gives nothing away when the audit log cannot be written", async () => {
    await make(alice, { name: "unaudited" });
    await sql`ALTER TABLE audit_log ADD CONSTRAINT refuse_reads CHECK (action <> 'secret.read') NOT VALID`.execute(
      scene.owner.db,
    );
    const answer = await ask({ name: "unaudited", organization_id: alice.organizationId });
    await sql`ALTER TABLE audit_log DROP CONSTRAINT refuse_reads`.execute(scene.owner.db);
    expect(answer.status).toBe(500);
    const text = await answer.text();
    for (const value of values) expect(text).not.toContain(value);
  });
});

describe("what was moved by hand does not open", () => {
  it.each([
    ["the ciphertext of another secret", { ciphertext: true, wrapped: false }],
    ["the wrapped key of another secret", { ciphertext: false, wrapped: true }],
    ["both of another secret", { ciphertext: true, wrapped: true }],
  ])("%s", async (_what, moved) => {
    const [from, to] = [await make(alice), await make(alice)];
    const source = await sealed(from, 1);
    const values = {
      ...(moved.ciphertext ? { ciphertext: source.ciphertext } : {}),
      ...(moved.wrapped ? { wrapped_key: source.wrapped_key } : {}),
    };
    await scene.owner.db.updateTable("secret_versions").set(values).where("secret_id", "=", uuid(to)).execute();
    await refusesToRead({ name: to.name, organization_id: alice.organizationId }, to);
  });

  it("a version under another number", async () => {
    const secret = await make(alice);
    await send(alice, "POST", `/v1/secrets/${secret.id}/versions`, { value: fresh() });
    const { ciphertext, wrapped_key } = await sealed(secret, 1);
    await scene.owner.db
      .updateTable("secret_versions")
      .set({ ciphertext, wrapped_key })
      .where("secret_id", "=", uuid(secret))
      .where("version", "=", 2)
      .execute();
    await refusesToRead({ name: secret.name, organization_id: alice.organizationId }, secret);
  });

  it.each([
    ["another organization", () => uuidOf("organization", bob.organizationId)!, () => ({ organization_id: bob.organizationId })],
    ["the installation", () => null, () => ({})],
  ])("a whole secret given to %s", async (_whom, organization, place) => {
    const secret = await make(alice);
    await scene.owner.db.updateTable("secrets").set({ organization_id: organization() }).where("id", "=", uuid(secret)).execute();
    await refusesToRead({ name: secret.name, ...place() }, secret);
  });

  it("a bit that was turned", async () => {
    const secret = await make(alice);
    const { ciphertext } = await sealed(secret, 1);
    ciphertext![20]! ^= 1;
    await scene.owner.db.updateTable("secret_versions").set({ ciphertext }).where("secret_id", "=", uuid(secret)).execute();
    await refusesToRead({ name: secret.name, organization_id: alice.organizationId }, secret);
  });

  it("every value has a data key and nonces of its own, so equal values do not look equal", async () => {
    const value = fresh();
    const rows = await Promise.all([make(alice, { value }), make(alice, { value })].map(async (made) => sealed(await made, 1)));
    const parts = rows.flatMap(({ ciphertext, wrapped_key }) => [ciphertext!.toString("hex"), wrapped_key!.toString("hex")]);
    expect(new Set(parts).size).toBe(4);
    expect(new Set(parts.map((hex) => hex.slice(0, 24))).size).toBe(4);
  });
});

describe("bad input", () => {
  it.each([
    ["no value", { value: undefined }],
    ["an empty value", { value: "" }],
    ["a value of 16,385 bytes", { value: "a".repeat(16_385) }],
    ["a value that is too long as UTF-8", { value: "é".repeat(8_193) }],
    ["a control character", { value: "abc\u0007def" }],
    ["U+0000", { value: "abc\u0000def" }],
    ["DEL", { value: "abc\u007fdef" }],
    ["half of a character", { value: "abc\ud800def" }],
    ["a published value", { value: "changeme" }],
    ["a number", { value: 12_345_678 }],
    ["a name with an upper-case letter", { name: "OpenAI" }],
    ["a name that is too long", { name: "a".repeat(64) }],
    ["a name with a slash", { name: "a/b" }],
    ["no reader", { readers: [] }],
    ["an unknown reader", { readers: ["puaboai-sdk", "nobody"] }],
    ["a reader twice", { readers: ["puaboai-sdk", "puaboai-sdk"] }],
    ["21 readers", { readers: Array.from({ length: 21 }, (_, at) => `reader-${at}`) }],
    ["an unknown scope", { scope: "everybody" }],
    ["an unknown field", { hint: "x" }],
  ])("%s is refused by its place, and the value is not said back", async (_what, change) => {
    const before = await count();
    const body = { name: "bad-input", value: fresh(), readers: ["puaboai-sdk"], ...change };
    const answer = await send(alice, "POST", "/v1/secrets", body);
    expect(answer.status).toBe(422);
    const problem = (await answer.json()) as ProblemDocument;
    expect(problem.errors?.[0]?.pointer).toMatch(new RegExp(`^/${Object.keys(change)[0]}`));
    expect(await count()).toEqual(before);
  });

  it("a key file of several lines and a value of 16,384 bytes are good", async () => {
    for (const value of [`-----BEGIN KEY-----\r\n\t${fresh()}\n-----END KEY-----\n`, randomBytes(12_288).toString("base64")]) {
      values.push(value);
      const secret = await make(alice, { value });
      expect(await read({ name: secret.name, organization_id: alice.organizationId })).toMatchObject({ value });
    }
  });

  it.each(["sec_x", "sec_00000000-0000-7000-8000-000000000000", "key_00000000-0000-7000-8000-000000000000", "..%2f"])(
    "%s is no secret",
    async (id) => {
      expect((await send(alice, "GET", `/v1/secrets/${id}`)).status).toBe(404);
      expect((await send(alice, "POST", `/v1/secrets/${id}/versions`, { value: fresh() })).status).toBe(404);
    },
  );
});

it("sent again under its Idempotency-Key a value is kept once; another value under that key is refused", async () => {
  const value = fresh();
  const body = { name: "once", value, readers: ["puaboai-sdk"] };
  const create = { path: "/v1/secrets", body, other: { ...body, value: fresh() } };
  const first = await twice(create);
  const { id } = ((await first.json()) as { secret: Secret }).secret;
  const next = { path: `/v1/secrets/${id}/versions`, body: { value: fresh() }, other: { value: fresh() } };
  expect(await (await twice(next)).json()).toMatchObject({ secret: { id, version: 2 } });
  expect(await (await ask({ name: "once", version: 1, organization_id: alice.organizationId })).json()).toMatchObject({ value });
  // Of a short value a plain hash would be as good as the value.
  const rows = await scene.owner.db.selectFrom("idempotency_keys").select("request_hash").execute();
  const plain = JSON.stringify([alice.organizationId, "POST", "/v1/secrets", body]);
  expect(rows.map((row) => row.request_hash.toString("hex"))).not.toContain(hash("sha256", plain, "hex"));
});

async function twice({ path, body, other }: { path: string; body: object; other: object }): Promise<Response> {
  const headers = { "idempotency-key": randomUUID() };
  const post = (content: object) => scene.call(`${services[0].url}${path}`, alice, { body: content, headers });
  const [first, again] = [await post(body), await post(body)];
  expect([first.status, again.status, again.headers.get("idempotent-replayed")]).toEqual([201, 201, "true"]);
  expect(await again.json()).toEqual(await first.clone().json());
  expect((await post(other)).status).toBe(422);
  return first;
}

it("no value stands in a log, an answer, the audit log or any table", async () => {
  expect(values.length).toBeGreaterThan(30);
  const { rows } = await sql<{ name: string }>`SELECT c.oid::regclass::text AS name FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`.execute(scene.owner.db);
  expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(["secrets", "secret_versions", "audit_log"]));
  const dump = await Promise.all(
    rows.map(async ({ name }) => {
      const found = await sql<{ line: string }>`SELECT t::text AS line FROM ${sql.table(name)} AS t`.execute(scene.owner.db);
      return found.rows.map(({ line }) => line).join("\n");
    }),
  );
  const texts = [logs.text(), dump.join("\n"), answers.join("\n")];
  for (const value of values) {
    const spellings = [
      value,
      Buffer.from(value).toString("hex"),
      Buffer.from(value).toString("base64"),
      JSON.stringify(value).slice(1, -1),
    ];
    for (const spelling of spellings) for (const text of texts) expect(text.includes(spelling)).toBe(false);
  }
});

function fresh(): string {
  const value = `sk-${randomBytes(24).toString("base64url")}`;
  values.push(value);
  return value;
}

async function send(by: ScenePerson, method: string, path: string, body?: unknown, at = services[0]): Promise<Response> {
  const answer = await scene.call(`${at.url}${path}`, by, { method, ...(body === undefined ? {} : { body }) });
  answers.push(await answer.clone().text(), JSON.stringify([...answer.headers]));
  return answer;
}

let made = 0;
async function make(by: ScenePerson, { name = `made-${made++}`, value = fresh() } = {}): Promise<Secret> {
  const answer = await send(by, "POST", "/v1/secrets", { name, value, readers: ["puaboai-sdk"] });
  expect(answer.status).toBe(201);
  return ((await answer.json()) as { secret: Secret }).secret;
}

function ask(body: object, token = scene.serviceToken): Promise<Response> {
  return scene.call(`${services[1].internalUrl}/v1/secrets/read`, token, { body });
}

async function read(body: object): Promise<ReadSecretAnswer> {
  const answer = await ask(body);
  expect(answer.status).toBe(200);
  return (await answer.json()) as ReadSecretAnswer;
}

async function refusesToRead(place: object, secret: Secret): Promise<void> {
  const answer = await ask(place);
  expect(answer.status).toBe(500);
  answers.push(await answer.text());
  const rows = await scene.owner.db
    .selectFrom("audit_log")
    .select(["targets", "outcome"])
    .where("action", "=", "secret.read")
    .execute();
  const about = rows.filter(({ targets }) => JSON.stringify(targets).includes(secret.id));
  expect(about.map(({ outcome }) => outcome)).toEqual(["failure"]);
}

async function sealed(secret: Secret, version: number) {
  return await scene.owner.db
    .selectFrom("secret_versions")
    .selectAll()
    .where("secret_id", "=", uuid(secret))
    .where("version", "=", version)
    .executeTakeFirstOrThrow();
}

function uuid({ id }: Secret): string {
  return uuidOf("secret", id)!;
}

async function count(): Promise<unknown> {
  return (
    await sql`SELECT (SELECT count(*) FROM secrets) AS secrets, (SELECT rev FROM change_counter) AS rev`.execute(scene.owner.db)
  ).rows;
}
