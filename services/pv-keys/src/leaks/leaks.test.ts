import { generateKeyPairSync, hash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@nexus/config";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import type { GithubAnswer, Leak, ReportedHashes } from "@nexus/contracts/leaks";
import { generateApiKey } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type FakePartner, type KeysScene, openKeysScene, type ScenePerson, startFakePartner } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

const logs = captureLogs();
const folder = mkdtempSync(join(tmpdir(), "nexus-leaks-"));
let scene: KeysScene;
let partner: FakePartner;
let service: RunningService;
const others: RunningService[] = [];
let alice: ScenePerson;
let bob: ScenePerson;
let admin: ScenePerson;

beforeAll(async () => {
  [scene, partner] = await Promise.all([openKeysScene(), startFakePartner()]);
  [alice, bob, admin] = await Promise.all([scene.person(), scene.person(), scene.person(["admin"])]);
  service = await start({});
});
afterEach(async () => {
  partner.answerWith(undefined);
  await Promise.all(others.splice(0).map((other) => other.close()));
});
afterAll(async () => {
  await service.close();
  await Promise.all([scene.close(), partner.close()]);
  rmSync(folder, { recursive: true, force: true });
});

async function start(environment: Record<string, string>): Promise<RunningService> {
  const logger = createLogger({ service: "pv-keys", level: "debug", destination: logs.stream });
  const settings = { ...scene.environment, NEXUS_LEAK_KEYS_URL: partner.url, ...environment };
  return await startService(loadConfig(configSchema, settings, configRules), { logger });
}
async function another(environment: Record<string, string>): Promise<RunningService> {
  const made = await start(environment);
  others.push(made);
  return made;
}

async function make(by: ScenePerson, fields: object = {}): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, by, { body: { name: "k", ...fields } });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}
async function get<T>(by: ScenePerson, path: string, status = 200): Promise<T> {
  const answer = await scene.call(`${service.url}${path}`, by);
  expect(answer.status).toBe(status);
  return (await answer.json()) as T;
}
const stateOf = async (by: ScenePerson, id: string): Promise<string> => (await get<{ key: Key }>(by, `/v1/keys/${id}`)).key.state;
const leaksOf = async (by: ScenePerson, id: string): Promise<Leak[]> =>
  (await get<{ data: Leak[] }>(by, `/v1/keys/${id}/leaks`)).data;
const sha256 = (key: string): string => hash("sha256", key);
const match = (token: string, url = "https://example.com/a", source = "content") => ({ token, type: "nexus_key", url, source });

function deliver(to: RunningService, { headers, body }: ReturnType<FakePartner["sign"]>): Promise<Response> {
  return fetch(`${to.url}/v1/leaks/github`, { method: "POST", headers, body: new Uint8Array(body) });
}
const report = (to: RunningService, matches: unknown) => deliver(to, partner.sign(JSON.stringify(matches)));
const hashes = (to: RunningService, by: ScenePerson, body: object) => scene.call(`${to.url}/v1/leaks/hashes`, by, { body });

async function audited(id: string): Promise<{ action: string; actor: unknown; details: Record<string, unknown> }[]> {
  const rows = await scene.owner.db
    .selectFrom("audit_log")
    .select(["action", "actor", "details", "targets", "writer_seq"])
    .orderBy("recorded_at")
    .orderBy("writer_seq")
    .execute();
  return rows
    .filter(({ targets }) => (targets as { id: string }[]).some((target) => target.id === id))
    .map(({ action, actor, details }) => ({ action, actor, details }));
}

describe("a signed report", () => {
  it("tells true from false, disables the key and writes down who saw it where", async () => {
    const { key, secret } = await make(alice);
    const stranger = generateApiKey("sk", "live").key;
    const answer = await report(service, [match(secret), match(stranger), match("not even a key")]);
    expect(answer.status).toBe(200);
    expect((await answer.json()) as GithubAnswer).toEqual([
      { token_hash: sha256(secret), token_type: "nexus_key", label: "true_positive" },
      { token_hash: sha256(stranger), token_type: "nexus_key", label: "false_positive" },
      { token_hash: sha256("not even a key"), token_type: "nexus_key", label: "false_positive" },
    ]);
    expect(await stateOf(alice, key.id)).toBe("disabled");
    expect(await leaksOf(alice, key.id)).toMatchObject([
      {
        key_id: key.id,
        version: 1,
        prefix: key.prefix,
        source: "github:content",
        url: "https://example.com/a",
        action: "disabled",
      },
    ]);
    const entries = await audited(key.id);
    expect(entries.map(({ action }) => action)).toEqual(["key.created", "key.leak_reported", "key.disabled"]);
    expect(entries[1]?.details).toMatchObject({ source: "github:content", state: "active", action: "disabled", version: 1 });
    expect(entries[1]?.actor).toEqual({ kind: "system", id: "github-secret-scanning" });
    // Who wrote the address is a person: the entry commits to it and does not hold it.
    expect(entries[1]?.details["url"]).toMatch(/^sha256:/);
  });

  it("is obeyed by every verifier", async () => {
    const { secret } = await make(alice);
    const replica = await another({});
    const verify = async () =>
      (await scene.call(`${replica.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key: secret } })).json();
    expect(await verify()).toMatchObject({ valid: true });
    expect((await report(service, [match(secret)])).status).toBe(200);
    await expect.poll(verify).toMatchObject({ valid: false, code: "disabled" });
  });

  it("does its work once: sent again, it neither adds a row nor disables a key that was enabled meanwhile", async () => {
    const { key, secret } = await make(alice);
    const delivery = partner.sign(JSON.stringify([match(secret), match(secret)]));
    const answers = await Promise.all(Array.from({ length: 4 }, () => deliver(service, delivery)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await scene.call(`${service.url}/v1/keys/${key.id}/enable`, alice, { method: "POST" })).status).toBe(200);
    expect(await (await deliver(service, delivery)).json()).toMatchObject([
      { label: "true_positive" },
      { label: "true_positive" },
    ]);
    expect(await stateOf(alice, key.id)).toBe("active");
    expect(await leaksOf(alice, key.id)).toHaveLength(1);
    // Another place is another leak.
    await report(service, [match(secret, "https://example.com/b")]);
    expect(await stateOf(alice, key.id)).toBe("disabled");
    expect((await audited(key.id)).filter(({ action }) => action === "key.leak_reported")).toHaveLength(2);
  });

  it("of a secret that was rotated away leaves the key and its new secret alone", async () => {
    const { key, secret } = await make(alice);
    const rotated = await scene.call(`${service.url}/v1/keys/${key.id}/rotate`, alice, { body: { overlap_seconds: 0 } });
    expect(rotated.status).toBe(200);
    expect((await report(service, [match(secret)])).status).toBe(200);
    expect(await stateOf(alice, key.id)).toBe("active");
    expect(await leaksOf(alice, key.id)).toMatchObject([{ version: 1, prefix: key.prefix, action: "none" }]);
  });

  it.each([
    ["revoke", "revoked", "revoked"],
    ["disable", "disabled", "disabled"],
    ["report", "active", "none"],
  ])("with the policy %s leaves the key %s", async (policy, state, action) => {
    const { key, secret } = await make(alice, { kind: "rk", scopes: ["keys:read"] });
    const strict = await another({ NEXUS_LEAK_ACTION: policy });
    expect((await report(strict, [match(secret)])).status).toBe(200);
    expect(await stateOf(alice, key.id)).toBe(state);
    expect(await leaksOf(alice, key.id)).toMatchObject([{ action }]);
  });

  it("keeps addresses of any kind, cut to what fits", async () => {
    const { key, secret } = await make(alice);
    const answer = await report(service, [
      { token: secret, type: "t" },
      match(secret, `a\u0000b${"é".repeat(5000)}`, "Gist; DROP"),
    ]);
    expect(answer.status).toBe(200);
    const leaks = await leaksOf(alice, key.id);
    expect(leaks.map(({ source, url }) => [source, url?.length ?? null]).toSorted((a, b) => Number(a[1]) - Number(b[1]))).toEqual(
      [
        ["github:unknown", null],
        ["github:unknown", 2000],
      ],
    );
  });
});

describe("the format", () => {
  it("is GitHub's own: the sample of its documentation holds, by the key that it had published then", async () => {
    const identifier = "bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c";
    const key = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd
AjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==
-----END PUBLIC KEY-----
`;
    const path = join(folder, "github.json");
    writeFileSync(path, JSON.stringify({ public_keys: [{ key_identifier: identifier, key, is_current: true }] }));
    const pinned = await another({ NEXUS_LEAK_KEYS_FILE: path });
    const headers = {
      "content-type": "application/json",
      "github-public-key-identifier": identifier,
      "github-public-key-signature":
        "MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==",
    };
    const body = Buffer.from(
      '[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]',
    );
    const answer = await deliver(pinned, { headers, body });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual([{ token_hash: sha256("some_token"), token_type: "some_type", label: "false_positive" }]);
  });
});

describe("a report that cannot be done", () => {
  it("without its audit entry leaves no trace, and is done when it comes again", async () => {
    const { key, secret } = await make(alice);
    await sql`REVOKE INSERT ON audit_log FROM nexus_keys`.execute(scene.owner.db);
    const refused = await report(service, [match(secret)]);
    await sql`GRANT INSERT ON audit_log TO nexus_keys`.execute(scene.owner.db);
    expect(refused.status).toBe(500);
    expect([await stateOf(alice, key.id), await leaksOf(alice, key.id)]).toEqual(["active", []]);
    expect((await report(service, [match(secret)])).status).toBe(200);
    expect(await stateOf(alice, key.id)).toBe("disabled");
  });

  it("because a newer pepper is missing calls no key a false alarm", async () => {
    const older = await openKeysScene();
    const settings = { ...older.environment, NEXUS_LEAK_KEYS_URL: partner.url };
    const logger = createLogger({ service: "pv-keys", level: "warn", destination: logs.stream });
    const behind = await startService(loadConfig(configSchema, settings, configRules), { logger });
    const peppers = `${older.environment["NEXUS_KEY_PEPPERS"] ?? ""} 2:${"n".repeat(16)}${hash("sha256", "newer")}`;
    const ahead = await startService(loadConfig(configSchema, { ...settings, NEXUS_KEY_PEPPERS: peppers }, configRules), {
      logger,
    });
    try {
      const person = await older.person();
      const made = await older.call(`${ahead.url}/v1/keys`, person, { body: { name: "k" } });
      const { secret } = (await made.json()) as CreatedKey;
      expect((await report(behind, [match(secret)])).status).toBe(503);
      expect(await (await report(ahead, [match(secret)])).json()).toMatchObject([{ label: "true_positive" }]);
    } finally {
      await Promise.all([behind.close(), ahead.close()]);
      await older.close();
    }
  });
});

describe("a report that proves nothing", () => {
  it.each<[string, (body: Buffer) => ReturnType<FakePartner["sign"]>]>([
    ["has no signature", (body) => ({ headers: { "content-type": "application/json" }, body })],
    ["has another body than was signed", (body) => ({ ...partner.sign("[]"), body })],
    ["has one byte more than was signed", (body) => ({ ...partner.sign(body), body: Buffer.concat([body, Buffer.from(" ")]) })],
    [
      "names a key that is not published",
      (body) => partner.sign(body, { key: generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey, identifier: "ff" }),
    ],
    [
      "is signed by another than the key it names",
      (body) =>
        partner.sign(body, {
          key: generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey,
          identifier: partner.sign(body).headers["github-public-key-identifier"] ?? "",
        }),
    ],
    [
      "has a signature that is none",
      (body) => ({ body, headers: { ...partner.sign(body).headers, "github-public-key-signature": "?".repeat(90) } }),
    ],
  ])("%s, and does nothing", async (fault, forge) => {
    const { key, secret } = await make(alice);
    // The list is read before, so that each refusal is one for the report and not for the list.
    expect((await report(service, [])).status).toBe(200);
    const answer = await deliver(service, forge(Buffer.from(JSON.stringify([match(secret)]))));
    // A key that the list does not name may be a new one: told to come again until the list was read anew.
    expect(fault.startsWith("names a key") ? [401, 503] : [401]).toContain(answer.status);
    expect(await stateOf(alice, key.id)).toBe("active");
    expect(await leaksOf(alice, key.id)).toEqual([]);
  });

  it("is refused before its body is read when it names no key that signs reports", async () => {
    const socket = connect(Number(new URL(service.url).port), "127.0.0.1");
    socket.write(
      "POST /v1/leaks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n[",
    );
    const head = await new Promise<string>((resolve) => socket.once("data", (bytes) => resolve(bytes.toString())));
    socket.destroy();
    expect(head).toMatch(/^HTTP\/1\.1 401 /);
  });

  it.each([
    ["no JSON", "{", 400],
    ["no UTF-8", Buffer.from([0x5b, 0xff, 0x5d]), 400],
    ["no list", "{}", 422],
    ["a match that is none", "[null]", 422],
    ["a match without a token", '[{"type":"a"}]', 422],
    ["too many matches", JSON.stringify(Array.from({ length: 1001 }, (_, i) => match(`t${i}`))), 422],
    ["too many bytes", JSON.stringify([match("x".repeat(1024 * 1024))]), 413],
  ])("is refused when it holds %s", async (_, body, status) => {
    expect((await deliver(service, partner.sign(body))).status).toBe(status);
  });

  it("of a thousand unknown tokens is answered whole", async () => {
    const answer = await report(
      service,
      Array.from({ length: 1000 }, () => match(generateApiKey("sk", "live").key)),
    );
    expect(((await answer.json()) as GithubAnswer).filter(({ label }) => label === "false_positive")).toHaveLength(1000);
  });
});

describe("the list of signing keys", () => {
  const p384 = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
  const listOf = (pem: string | Buffer): string => JSON.stringify({ public_keys: [{ key_identifier: "aa", key: pem }] });
  it.each<[string, Parameters<FakePartner["answerWith"]>[0]]>([
    ["is away", (response) => response.destroy()],
    ["is broken", (response) => response.writeHead(500).end()],
    ["leads elsewhere", (response) => response.writeHead(302, { location: "/other" }).end()],
    ["never comes", () => {}],
    ["never ends", (response) => void response.write("{")],
    ["is no list", (response) => response.end('{"public_keys":{}}')],
    ["is too large", (response) => response.end(" ".repeat(300_000) + partner.list())],
  ])("that %s makes the sender come again, and believes nobody", async (_, answer) => {
    const fresh = await another({});
    const { key, secret } = await make(alice);
    partner.answerWith(answer);
    const refused = await report(fresh, [match(secret)]);
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("10");
    expect(await stateOf(alice, key.id)).toBe("active");
  });

  it("is not believed in keys of another curve, or in private ones", async () => {
    const p256 = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    for (const [pem, privateKey] of [
      [p384.publicKey.export({ type: "spki", format: "pem" }), p384.privateKey],
      [p256.privateKey.export({ type: "pkcs8", format: "pem" }), p256.privateKey],
    ] as const) {
      const fresh = await another({});
      const { key, secret } = await make(alice);
      partner.answerWith((response) => response.end(listOf(pem)));
      const delivery = partner.sign(JSON.stringify([match(secret)]), { key: privateKey, identifier: "aa" });
      expect((await deliver(fresh, delivery)).status).toBe(401);
      expect(await stateOf(alice, key.id)).toBe("active");
    }
  });

  it("is asked for once by many who come at once with keys that nobody knows", async () => {
    const fresh = await another({});
    const before = partner.fetches();
    const forged = partner.sign("[]", { key: p384.privateKey, identifier: "unknown" });
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => deliver(fresh, forged)));
      // Those who come while the list rests are told to come again.
      for (const { status } of answers) expect([401, 503]).toContain(status);
    }
    expect(partner.fetches() - before).toBe(1);
    expect((await report(fresh, [])).status).toBe(200);
    expect(partner.fetches() - before).toBe(1);
  });

  it("can be pinned in a file, and is not fetched then", async () => {
    const path = join(folder, "keys.json");
    writeFileSync(path, partner.list());
    const pinned = await another({ NEXUS_LEAK_KEYS_FILE: path });
    const before = partner.fetches();
    expect((await report(pinned, [])).status).toBe(200);
    expect(partner.fetches()).toBe(before);
    writeFileSync(path, "{}");
    await expect(start({ NEXUS_LEAK_KEYS_FILE: path })).rejects.toThrow("NEXUS_LEAK_KEYS_FILE");
  });
});

describe("a list of hashes", () => {
  it("ends the keys that are ours, of every organization, and answers in its order", async () => {
    const [one, two] = await Promise.all([make(alice), make(bob)]);
    const unknown = sha256(generateApiKey("sk", "live").key);
    const answer = await hashes(service, admin, {
      hashes: [sha256(one.secret).toUpperCase(), unknown, sha256(two.secret)],
      url: "a paste",
    });
    expect(answer.status).toBe(200);
    expect((await answer.json()) as ReportedHashes).toEqual({
      data: [
        {
          sha256: sha256(one.secret),
          known: true,
          key_id: one.key.id,
          organization_id: one.key.organization_id,
          action: "disabled",
        },
        { sha256: unknown, known: false, key_id: null, organization_id: null, action: null },
        {
          sha256: sha256(two.secret),
          known: true,
          key_id: two.key.id,
          organization_id: two.key.organization_id,
          action: "disabled",
        },
      ],
    });
    expect(await leaksOf(bob, two.key.id)).toMatchObject([{ source: "admin", url: "a paste", action: "disabled" }]);
    expect((await audited(two.key.id)).at(-1)).toMatchObject({
      action: "key.disabled",
      actor: { kind: "person", id: admin.userId },
    });
  });

  it("sent again does nothing and answers the same, though its key was enabled meanwhile", async () => {
    const { key, secret } = await make(alice);
    const list = { hashes: [sha256(secret)], url: "sent again" };
    const first: unknown = await (await hashes(service, admin, list)).json();
    expect((await scene.call(`${service.url}/v1/keys/${key.id}/enable`, alice, { method: "POST" })).status).toBe(200);
    expect(await (await hashes(service, admin, list)).json()).toEqual(first);
    expect(await stateOf(alice, key.id)).toBe("active");
    expect(await leaksOf(alice, key.id)).toHaveLength(1);
  });

  it("with rows that are no hashes does nothing and names them all", async () => {
    const { key, secret } = await make(alice);
    const answer = await hashes(service, admin, { hashes: [sha256(secret), "abc", sha256("x"), `${sha256("y")}0`, secret] });
    expect(answer.status).toBe(422);
    const problem = (await answer.json()) as { rows: number[]; detail: string };
    expect(problem.rows).toEqual([1, 3, 4]);
    expect(JSON.stringify(problem)).not.toContain(secret);
    expect(await stateOf(alice, key.id)).toBe("active");
  });

  it("may hold ten thousand and not one more", async () => {
    const many = Array.from({ length: 10_000 }, (_, index) => sha256(`leak ${index}`));
    const answer = await hashes(service, admin, { hashes: many });
    expect(((await answer.json()) as ReportedHashes).data.filter(({ known }) => !known)).toHaveLength(10_000);
    expect((await hashes(service, admin, { hashes: [...many, sha256("x")] })).status).toBe(422);
  });

  it("is taken from administrators alone", async () => {
    const root = await make(alice, { kind: "rk", scopes: ["keys:*"] });
    expect((await hashes(service, alice, { hashes: [sha256("x")] })).status).toBe(403);
    expect((await scene.call(`${service.url}/v1/leaks/hashes`, root.secret, { body: { hashes: [sha256("x")] } })).status).toBe(
      403,
    );
    expect((await fetch(`${service.url}/v1/leaks/hashes`, { method: "POST" })).status).toBe(401);
  });
});

describe("reading leaks", () => {
  it("goes page by page through one's own organization's", async () => {
    const carol = await scene.person();
    const made = await Promise.all(Array.from({ length: 5 }, () => make(carol)));
    await hashes(service, admin, { hashes: made.map(({ secret }) => sha256(secret)) });
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const query: string = cursor === "" ? "" : `&cursor=${cursor}`;
      const page: { data: Leak[]; next_cursor: string | null } = await get(carol, `/v1/leaks?limit=2${query}`);
      seen.push(...page.data.map(({ key_id }) => key_id));
      cursor = page.next_cursor;
    }
    expect(seen.toSorted()).toEqual(made.map(({ key }) => key.id).toSorted());
    expect((await get<{ data: Leak[] }>(await scene.person(), "/v1/leaks")).data).toEqual([]);
  });

  it("finds no other organization's keys", async () => {
    const { key } = await make(alice);
    await get(bob, `/v1/keys/${key.id}/leaks`, 404);
    await get(bob, `/v1/keys/${key.id}/activity`, 404);
    await get(bob, "/v1/keys/nonsense/leaks", 404);
    expect((await fetch(`${service.url}/v1/leaks`)).status).toBe(401);
    expect((await fetch(`${service.url}/v1/keys/${key.id}/activity`)).status).toBe(401);
  });

  it("leaves no whole key in any log or table", async () => {
    const { secret } = await make(alice);
    await report(service, [match(secret)]);
    await deliver(service, { ...partner.sign("[]"), body: Buffer.from(JSON.stringify([match(secret)])) });
    await hashes(service, admin, { hashes: [secret] });
    await deliver(service, partner.sign(`[{"token":"${secret}"`));
    expect(logs.text()).toContain("/v1/leaks/github");
    expect(logs.text()).not.toContain(secret);
    const { rows } = await sql<{ row: string }>`
      SELECT t::text AS row FROM key_leaks t UNION ALL SELECT a::text FROM audit_log a UNION ALL SELECT p::text FROM audit_personal p
    `.execute(scene.owner.db);
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter(({ row }) => row.includes(secret))).toEqual([]);
  });
});
