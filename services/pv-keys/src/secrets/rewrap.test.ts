import { randomBytes } from "node:crypto";
import { loadConfig } from "@nexus/config";
import type { Secret, SecretRewrapAnswer, SecretRewrapOverview } from "@nexus/contracts/secrets";
import { uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { type KeysScene, openKeysScene, type ScenePerson, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";
import { heldKey, keyEncryptionField } from "./held-keys.ts";
import type { KeyEncryption, KeyEncryptionKey } from "./key-encryption.ts";

const old = `1:${randomBytes(32).toString("base64url")}`;
const second = `2:${randomBytes(32).toString("base64url")}`;
const held = (text: string): KeyEncryption => keyEncryptionField.parse(text)!;
let scene: KeysScene;
let admin: ScenePerson;
const running: RunningService[] = [];

beforeAll(async () => {
  scene = await openKeysScene();
  admin = await scene.person(["admin"]);
});
afterEach(() => Promise.all(running.splice(0).map((service) => service.close())));
afterAll(() => scene.close());

it("is for administrators", async () => {
  const service = await start(held(old));
  const person = await scene.person();
  for (const method of ["GET", "POST"]) {
    expect((await fetch(`${service.url}/v1/secrets/rewrap`, { method })).status).toBe(401);
    expect((await scene.call(`${service.url}/v1/secrets/rewrap`, person, { method })).status).toBe(403);
  }
});

it("with nothing to do is finished at once", async () => {
  const service = await start(held(old));
  const { rewrap } = await begin(service);
  expect(rewrap).toMatchObject({ from_fingerprints: [], to_fingerprint: held(old).current.fingerprint, total: 0 });
  await untilFinished(service);
});

it("a data key that somebody changed is counted as failed, once, and the others are done", async () => {
  const before = await start(held(old));
  const [good, bad] = [await make(before, "good"), await make(before, "bad")];
  const broken = randomBytes(60);
  await scene.owner.db.updateTable("secret_versions").set({ wrapped_key: broken }).where("secret_id", "=", uuid(bad)).execute();
  const service = await start(held(`${old}\n${second}`));
  await begin(service);
  const { rewrap, keys } = await untilFinished(service);
  expect(rewrap).toMatchObject({ total: 2, done: 1, failed: 1, state: "finished" });
  expect(keys.find(({ name }) => name === "file:1")).toMatchObject({ current: false, held: true, data_keys: 1 });
  expect((await read(service, good.name)).status).toBe(200);
  expect((await read(service, bad.name)).status).toBe(500);
  // A process that was not given the new key says so and goes on with what it can open.
  expect((await read(before, good.name)).status).toBe(503);
  expect((await scene.call(`${service.url}/v1/secrets/${bad.id}`, admin, { method: "DELETE" })).status).toBe(200);
  expect((await overview(service)).keys.find(({ name }) => name === "file:1")?.data_keys).toBe(0);
});

it("a KMS that is away holds it up and fails nothing; it is through when the KMS is back", async () => {
  const file = held(second);
  const kms = switchedKey();
  const service = await start({ current: kms.key, keys: [kms.key, ...file.keys] });
  kms.isAway = true;
  await begin(service);
  await waitFor(() => kms.refused > 0);
  expect((await overview(service)).rewrap).toMatchObject({ state: "running", done: 0, failed: 0, total: 1 });
  expect((await read(service, "good")).status).toBe(200);
  kms.isAway = false;
  expect((await untilFinished(service)).rewrap).toMatchObject({ done: 1, failed: 0 });
  kms.isAway = true;
  expect((await read(service, "good")).status).toBe(503);
});

it("sent again under its Idempotency-Key, it begins no second run when the first is through", async () => {
  const service = await start({ current: lastKey(), keys: [lastKey()] });
  const headers = { "idempotency-key": "rewrap-once" };
  const send = async () => await scene.call(`${service.url}/v1/secrets/rewrap`, admin, { method: "POST", headers });
  const first: unknown = await (await send()).json();
  await untilFinished(service);
  const again = await send();
  expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([202, "true"]);
  expect(await again.json()).toEqual(first);
});

it("a run that another key overtakes ends as superseded", async () => {
  const kms = switchedKey();
  kms.isAway = true;
  const service = await start({ current: kms.key, keys: [kms.key, lastKey()] });
  const { rewrap } = await begin(service);
  const next = await start({ current: held(second).current, keys: [held(second).current, kms.key, lastKey()] });
  expect((await begin(service)).rewrap.id).toBe(rewrap.id);
  expect((await begin(next)).rewrap.id).not.toBe(rewrap.id);
  await untilFinished(next);
  const rows = await scene.owner.db
    .selectFrom("secret_rewraps")
    .select("superseded")
    .where("id", "=", uuidOf("rewrap", rewrap.id)!)
    .execute();
  expect(rows).toEqual([{ superseded: true }]);
});

let keysMade = 0;
const switchedKeys: KeyEncryptionKey[] = [];

/** A key of a KMS that can be made to be away. */
function switchedKey(): { key: KeyEncryptionKey; isAway: boolean; refused: number } {
  const inner = heldKey({ version: 9, secret: randomBytes(32).toString("base64url") });
  const kms = { isAway: false, refused: 0 };
  const through = async (work: () => Promise<Buffer>): Promise<Buffer> => {
    if (!kms.isAway) return await work();
    kms.refused++;
    throw new Error("connect ECONNREFUSED");
  };
  const key: KeyEncryptionKey = {
    name: `kms:${++keysMade}`,
    fingerprint: inner.fingerprint,
    wrap: (dataKey, bound) => through(() => inner.wrap(dataKey, bound)),
    unwrap: (wrapped, bound) => through(() => inner.unwrap(wrapped, bound)),
  };
  switchedKeys.push(inner);
  return Object.assign(kms, { key });
}

/** The one that the test before this one ended with. */
function lastKey(): KeyEncryptionKey {
  return { ...switchedKeys[0]!, name: "kms:1" };
}

async function start(keyEncryption: KeyEncryption): Promise<RunningService> {
  const config = loadConfig(configSchema, scene.environment, configRules);
  const service = await startService(config, { logger: createLogger({ service: "pv-keys", level: "silent" }), keyEncryption });
  running.push(service);
  return service;
}

async function make(service: RunningService, name: string): Promise<Secret> {
  const body = { name, value: randomBytes(24).toString("base64url"), readers: ["puaboai-sdk"], scope: "installation" };
  const answer = await scene.call(`${service.url}/v1/secrets`, admin, { body });
  expect(answer.status).toBe(201);
  return ((await answer.json()) as { secret: Secret }).secret;
}

function read(service: RunningService, name: string): Promise<Response> {
  return scene.call(`${service.internalUrl}/v1/secrets/read`, scene.serviceToken, { body: { name } });
}

async function begin(service: RunningService): Promise<SecretRewrapAnswer> {
  const answer = await scene.call(`${service.url}/v1/secrets/rewrap`, admin, { method: "POST" });
  expect(answer.status).toBe(202);
  return (await answer.json()) as SecretRewrapAnswer;
}

async function overview(service: RunningService): Promise<SecretRewrapOverview> {
  return (await (await scene.call(`${service.url}/v1/secrets/rewrap`, admin)).json()) as SecretRewrapOverview;
}

async function untilFinished(service: RunningService): Promise<SecretRewrapOverview> {
  return await waitFor(async () => {
    const seen = await overview(service);
    return seen.rewrap?.state === "finished" && seen;
  });
}

function uuid({ id }: Secret): string {
  return uuidOf("secret", id)!;
}
