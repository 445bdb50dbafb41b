/** A pepper is replaced while keys go on working: their hashes are made anew when they are seen. */
import { randomBytes } from "node:crypto";
import { ConfigError, loadConfig } from "@nexus/config";
import type { CreatedKey } from "@nexus/contracts/keys";
import type { PepperUseList } from "@nexus/contracts/peppers";
import type { VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { generateApiKey, toId, uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { keyDigest, storedHash } from "../peppers.ts";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";
import { openRehasher } from "./rehash-keys.ts";

const logs = captureLogs();
const [one, two] = [randomBytes(32).toString("base64url"), randomBytes(32).toString("base64url")];
const bothPeppers = {
  current: 2,
  versions: new Map([
    [1, one],
    [2, two],
  ]),
};
const running: RunningService[] = [];
let scene: KeysScene;
let alice: ScenePerson;
let admin: ScenePerson;
let used: CreatedKey;
let idle: CreatedKey;
let gone: CreatedKey;

beforeAll(async () => {
  scene = await openKeysScene();
  [alice, admin] = [await scene.person(), await scene.person(["admin"])];
  const service = await start(`1:${one}`);
  [used, idle, gone] = [await make(service, "used"), await make(service, "idle"), await make(service, "gone")];
  await scene.call(`${service.url}/v1/keys/${gone.key.id}/revoke`, alice, { body: {} });
  await stopAll();
});
afterEach(stopAll);
afterAll(() => scene.close());

it("a key that is seen gets a hash of the current pepper, and works before, while and after", async () => {
  const service = await start(`1:${one} 2:${two}`);
  expect(await uses(service)).toEqual([
    { version: 2, current: true, held: true, hashes: 0, usable: 0 },
    { version: 1, current: false, held: true, hashes: 3, usable: 2 },
  ]);
  expect(await verify(service, used.secret)).toMatchObject({ valid: true, key_id: used.key.id });
  await waitFor(async () => (await rowOf(used)).pepper_version === 2);
  expect((await rowOf(used)).hash.equals(storedHash(keyDigest(used.secret), two))).toBe(true);
  expect((await rowOf(idle)).hash.equals(storedHash(keyDigest(idle.secret), one))).toBe(true);
  expect(await uses(service)).toEqual([
    { version: 2, current: true, held: true, hashes: 1, usable: 1 },
    { version: 1, current: false, held: true, hashes: 2, usable: 1 },
  ]);
  // Another process, which has to look the key up by its new hash.
  expect(await verify(await start(`1:${one}\n2:${two}`), used.secret)).toMatchObject({ valid: true });
  expect((await make(service, "new")).secret).toBeTruthy();
});

it("a process stops that was not given the pepper of a key that may be good; a revoked key holds no pepper back", async () => {
  await expect(start(`2:${two}`)).rejects.toThrow(ConfigError);
  const service = await start(`1:${one} 2:${two}`);
  await scene.call(`${service.url}/v1/keys/${idle.key.id}/revoke`, alice, { body: {} });
  expect((await uses(service)).find(({ version }) => version === 1)).toMatchObject({ hashes: 2, usable: 0 });
  const after = await start(`2:${two}`);
  expect(await verify(after, used.secret)).toMatchObject({ valid: true, key_id: used.key.id });
  expect(await verify(after, idle.secret)).toMatchObject({ valid: false });
  expect((await uses(after)).find(({ version }) => version === 1)).toMatchObject({ held: false });
});

it("the use of peppers is for administrators", async () => {
  const service = await start(`1:${one} 2:${two}`);
  expect((await fetch(`${service.url}/v1/keys/peppers`)).status).toBe(401);
  expect((await scene.call(`${service.url}/v1/keys/peppers`, alice)).status).toBe(403);
});

it("many keys are written in few statements, the last ones when the process stops; a hash that is another by now stays", async () => {
  const service = await start(`1:${one} 2:${two}`);
  const { key } = await make(service, "many");
  const digests = Array.from({ length: 1200 }, (_, at) => keyDigest(generateApiKey("sk", at % 2 ? "live" : "test").key));
  const rows = digests.map((digest, at) => ({
    key_id: uuidOf("key", key.id)!,
    version: at + 2,
    hash: storedHash(digest, one),
    pepper_version: 1,
    display_prefix: "pv_sk_live_x",
  }));
  await scene.owner.db.insertInto("api_key_versions").values(rows).execute();
  const moved = randomBytes(32);
  await scene.owner.db
    .updateTable("api_key_versions")
    .set({ hash: moved })
    .where("key_id", "=", rows[0]!.key_id)
    .where("version", "=", 2)
    .execute();
  const rehasher = openRehasher({ db: scene.owner.db, peppers: bothPeppers, logger: logger() });
  digests.forEach((digest, at) => rehasher.rehash({ digest, keyId: toId("key", rows[0]!.key_id), version: at + 2 }));
  await rehasher.close();
  const stored = await scene.owner.db
    .selectFrom("api_key_versions")
    .select(["version", "hash", "pepper_version"])
    .where("key_id", "=", rows[0]!.key_id)
    .where("version", ">", 1)
    .orderBy("version")
    .execute();
  expect(stored[0]).toMatchObject({ hash: moved, pepper_version: 1 });
  for (const { version, hash, pepper_version } of stored.slice(1)) {
    expect([pepper_version, hash.equals(storedHash(digests[version - 2]!, two))]).toEqual([2, true]);
  }
});

it("a hash that cannot be written now is written later", async () => {
  const { key, secret } = await make(await start(`1:${one} 2:${two}`), "later");
  const older = { hash: storedHash(keyDigest(secret), one), pepper_version: 1 };
  await scene.owner.db.updateTable("api_key_versions").set(older).where("key_id", "=", uuidOf("key", key.id)!).execute();
  const rehasher = openRehasher({ db: scene.owner.db, peppers: bothPeppers, logger: logger() });
  await sql`ALTER TABLE api_key_versions ADD CONSTRAINT refused CHECK (pepper_version = 1) NOT VALID`.execute(scene.owner.db);
  rehasher.rehash({ digest: keyDigest(secret), keyId: key.id, version: 1 });
  await waitFor(() => logs.text().includes("wait to be replaced"));
  await sql`ALTER TABLE api_key_versions DROP CONSTRAINT refused`.execute(scene.owner.db);
  await waitFor(async () => (await rowOf({ key, secret })).pepper_version === 2);
  await rehasher.close();
});

it("a process stops also when it cannot write them, and logs neither peppers nor keys", async () => {
  const closed = scene.database.openOwner();
  await closed.close();
  const rehasher = openRehasher({ db: closed.db, peppers: bothPeppers, logger: logger() });
  rehasher.rehash({ digest: keyDigest(used.secret), keyId: used.key.id, version: 1 });
  await rehasher.close();
  for (const secret of [one, two, used.secret]) expect(logs.text()).not.toContain(secret);
});

function logger() {
  return createLogger({ service: "pv-keys", level: "debug", destination: logs.stream });
}

async function start(peppers: string): Promise<RunningService> {
  const environment = { ...scene.environment, NEXUS_KEY_PEPPERS: peppers };
  const service = await startService(loadConfig(configSchema, environment, configRules), {
    logger: logger(),
  });
  running.push(service);
  return service;
}

async function stopAll(): Promise<void> {
  await Promise.all(running.splice(0).map((service) => service.close()));
}

async function make(service: RunningService, name: string): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, alice, { body: { name } });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

async function verify(service: RunningService, key: string): Promise<VerifyKeyAnswer> {
  const answer = await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
  return (await answer.json()) as VerifyKeyAnswer;
}

async function uses(service: RunningService): Promise<PepperUseList["data"]> {
  const answer = await scene.call(`${service.url}/v1/keys/peppers`, admin);
  expect(answer.status).toBe(200);
  return ((await answer.json()) as PepperUseList).data;
}

async function rowOf({ key }: CreatedKey) {
  return await scene.owner.db
    .selectFrom("api_key_versions")
    .select(["hash", "pepper_version"])
    .where("key_id", "=", uuidOf("key", key.id)!)
    .executeTakeFirstOrThrow();
}
