/** Requests that make something, sent again. */
import { hash, randomUUID } from "node:crypto";
import { loadConfig } from "@nexus/config";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { createLogger } from "@nexus/telemetry";
import { type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "./service.ts";

let scene: KeysScene;
let service: RunningService;
let admin: ScenePerson;
let bob: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  [admin, bob] = await Promise.all([scene.person(["admin"]), scene.person()]);
  const logger = createLogger({ service: "pv-keys", level: "error" });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
  await post("/v1/key-formats", { name: "old", prefix: "old_", min_length: 40, max_length: 40, alphabet: "hex" });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

describe.each([
  ["a key", () => Promise.resolve({ path: "/v1/keys", body: { name: randomUUID() } })],
  ["a key behind a link", () => Promise.resolve({ path: "/v1/keys", body: { name: randomUUID(), deliver: "link" } })],
  ["a rotated secret", async () => ({ path: `/v1/keys/${(await make()).key.id}/rotate`, body: { overlap_seconds: 600 } })],
  ["keys in bulk", () => Promise.resolve({ path: "/v1/keys/bulk-create", body: { keys: [{ name: randomUUID() }] } })],
])("%s", (_what, request) => {
  it("is made once; whoever asks again is told that the secret was shown", async () => {
    const { path, body } = await request();
    const key = randomUUID();
    expect((await post(path, body, { key })).ok).toBe(true);
    const after = await count();
    const again = await post(path, body, { key });
    const problem = (await again.json()) as { code: string; created: string[] };
    expect([again.status, problem.code]).toEqual([422, "secret_not_replayable"]);
    expect(problem.created).toEqual([expect.stringMatching(/^key_/)]);
    expect(await count()).toEqual(after);
    expect((await post(path, body, { key: randomUUID() })).ok).toBe(true);
  });

  it("is not made by another request under the same key", async () => {
    const { path, body } = await request();
    const key = randomUUID();
    await post(path, body, { key });
    const after = await count();
    const other = await post("/v1/keys", { name: "other" }, { key });
    expect([other.status, ((await other.json()) as { code: string }).code]).toEqual([422, "idempotency_mismatch"]);
    expect(await count()).toEqual(after);
  });

  it("is made once of many requests at once", async () => {
    const { path, body } = await request();
    const before = await count();
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 6 }, () => post(path, body, { key })));
    const good = answers.filter(({ ok }) => ok);
    expect(good).toHaveLength(1);
    for (const answer of answers.filter(({ ok }) => !ok)) {
      const { code } = (await answer.json()) as { code: string };
      expect(["idempotency_in_progress", "secret_not_replayable"]).toContain(code);
      if (code === "idempotency_in_progress") expect([answer.status, answer.headers.get("retry-after")]).toEqual([409, "1"]);
    }
    expect((await count()).versions).toBe(before.versions + 1);
  });
});

it("an import and a format are answered again as they were", async () => {
  const sha256 = hash("sha256", randomUUID(), "hex");
  for (const [path, body] of [
    ["/v1/keys/import", { keys: [{ name: "moved", format: "old", prefix: "old_1", sha256 }] }],
    ["/v1/key-formats", { name: "again", prefix: "again_", min_length: 40, max_length: 40, alphabet: "hex" }],
  ] as const) {
    const key = randomUUID();
    const first = await post(path, body, { key });
    expect([first.status, first.headers.get("idempotent-replayed")]).toEqual([201, null]);
    const again = await post(path, body, { key });
    expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([201, "true"]);
    expect(await again.json()).toEqual(await first.json());
  }
});

it("imports of one key at once under several keys leave one key, and no server error", async () => {
  const keys = [{ name: "race", format: "old", prefix: "old_1", sha256: hash("sha256", randomUUID(), "hex") }];
  const answers = await Promise.all(Array.from({ length: 6 }, () => post("/v1/keys/import", { keys }, { key: randomUUID() })));
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 201)).toHaveLength(1);
  for (const status of statuses) expect([201, 409, 422]).toContain(status);
});

it("a key of one person is not another's, nor is a refused request remembered", async () => {
  const key = randomUUID();
  expect((await post("/v1/keys", { name: "mine" }, { key })).status).toBe(201);
  expect((await post("/v1/keys", { name: "theirs" }, { key, by: bob })).status).toBe(201);
  const second = randomUUID();
  expect((await post("/v1/keys", { name: "x", scopes: ["*"] }, { key: second })).status).toBe(422);
  expect((await post("/v1/keys", { name: "x" }, { key: second })).status).toBe(201);
});

it("verifiers hear of what was made under a key at once, and not before it is there", async () => {
  const { secret } = (await (await post("/v1/keys", { name: "heard" }, { key: randomUUID() })).json()) as CreatedKey;
  const answer = await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key: secret } });
  expect(await answer.json()).toMatchObject({ valid: true });
});

it.each(["", "two words", "ä", "x".repeat(256)])("the key %o is refused", async (key) => {
  const answer = await post("/v1/keys", { name: "x" }, { key: Buffer.from(key).toString("latin1") });
  // An empty header field is one.
  expect(answer.status).toBe(422);
  expect(await answer.text()).toContain('"pointer":"idempotency-key"');
});

function post(path: string, body: unknown, { key, by = admin }: { key?: string; by?: ScenePerson } = {}): Promise<Response> {
  return scene.call(service.url + path, by, { body, headers: key === undefined ? {} : { "idempotency-key": key } });
}

async function make(): Promise<{ key: Key }> {
  return (await (await post("/v1/keys", { name: "to rotate" })).json()) as CreatedKey;
}

async function count(): Promise<{ keys: number; versions: number; shares: number }> {
  const of = async (table: "api_keys" | "api_key_versions" | "key_shares"): Promise<number> => {
    const { n } = await scene.owner.db
      .selectFrom(table)
      .select((eb) => eb.fn.countAll<bigint>().as("n"))
      .executeTakeFirstOrThrow();
    return Number(n);
  };
  return { keys: await of("api_keys"), versions: await of("api_key_versions"), shares: await of("key_shares") };
}
