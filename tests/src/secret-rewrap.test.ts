/** Rotation of the key-encryption key, with real processes that are killed in the middle of it. */
import { randomBytes } from "node:crypto";
import type { ReadSecretAnswer, Secret, SecretRewrapOverview } from "@nexus/contracts/secrets";
import { waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { type ServiceProcess, startServiceProcess } from "./fleet/child.ts";
import { type Relay, startRelay } from "./fleet/relay.ts";
import { folderOf, openScene, type Scene } from "./fleet/scene.ts";

const secretCount = 130;
const [one, two] = [`1:${randomBytes(32).toString("base64url")}`, `2:${randomBytes(32).toString("base64url")}`];
const values = new Map<string, string>();
const processes: ServiceProcess[] = [];
let scene: Scene;
let wires: { postgres: Relay; redis: Relay };
let sealedBefore: string[];
let db: ReturnType<Scene["database"]["openOwner"]>["db"];

beforeAll(async () => {
  scene = await openScene({ blindSeconds: 0 });
  ({ db } = scene.database.openOwner());
  wires = { postgres: await startRelay(scene.database.keys.port), redis: await startRelay(scene.redis.port) };
  const service = await start(one);
  const names = Array.from({ length: secretCount }, (_, at) => `secret-${at}`);
  for (const name of names) {
    const value = randomBytes(24).toString("base64url");
    values.set(name, value);
    const body = { name, value, readers: ["puaboai-sdk"], scope: "installation" satisfies Secret["scope"] };
    const answer = await call(service, "POST", "/v1/secrets", body);
    if (answer.status !== 201) throw new Error(`no secret was made: ${answer.status} ${await answer.text()}`);
  }
  sealedBefore = await ciphertexts();
  await service.kill();
}, 60_000);
afterEach(() => Promise.all(processes.splice(0).map((service) => service.kill())));
afterAll(async () => {
  await Promise.all(Object.values(wires).map((wire) => wire.close()));
  await scene.close();
});

it("killed in the middle it goes on where it was, in another process, and counts nothing twice", async () => {
  const first = await start(`${one}\n${two}`);
  // Rows that somebody else has in hand are passed over, so the run stands still before its end.
  const held = await holdRows(`SELECT FROM secret_versions ORDER BY secret_id DESC LIMIT 50 FOR UPDATE`);
  const started = await call(first, "POST", "/v1/secrets/rewrap");
  expect(started.status).toBe(202);
  await waitFor(async () => (await overview(first)).rewrap?.done === secretCount - 50);
  expect(await overview(first)).toMatchObject({ rewrap: { state: "running", total: secretCount, failed: 0 } });
  await first.kill();

  // Killed while its batch waits for the counter: the batch has never happened.
  const second = await start(`${one}\n${two}`);
  const counter = await holdRows(`SELECT FROM secret_rewraps FOR UPDATE`);
  await held.release();
  await waitFor(async () => (await waitingForLock()) > 0, { timeoutMs: 20_000, what: "a batch that waits" });
  await second.kill();
  await counter.release();
  expect(await wrappedBy()).toEqual([50, secretCount - 50]);

  // A start without the old key: there is work left that needs it.
  await expect(start(two)).rejects.toThrow("NEXUS_KEY_ENCRYPTION_KEYS lacks the key with the fingerprint");

  const [third, fourth] = await Promise.all([start(`${one}\n${two}`), start(`${two} ${one}`)]);
  await waitFor(async () => (await overview(third)).rewrap?.state === "finished");
  const { rewrap, keys } = await overview(fourth);
  expect(rewrap).toMatchObject({ total: secretCount, done: secretCount, failed: 0 });
  expect(keys.map(({ name, current, data_keys }) => [name, current, data_keys])).toEqual(
    expect.arrayContaining([
      ["file:2", true, secretCount],
      ["file:1", false, 0],
    ]),
  );
});

it("values were not encrypted anew, and the old key may go", async () => {
  expect(await ciphertexts()).toEqual(sealedBefore);
  const service = await start(two);
  for (const [name, value] of values) expect(await read(service, name)).toBe(value);
});

it("its begin and its end are audited, once", async () => {
  const rows = await db
    .selectFrom("audit_log")
    .select(["action", "outcome", "actor", "details"])
    .where("action", "like", "secret.rewrap%")
    .orderBy("occurred_at")
    .execute();
  expect(rows).toMatchObject([
    { action: "secret.rewrap_started", outcome: "success", actor: { kind: "person", id: scene.person.userId } },
    {
      action: "secret.rewrap_finished",
      outcome: "success",
      actor: { kind: "system" },
      details: { done: secretCount, failed: 0 },
    },
  ]);
});

it("two replicas do every data key once", async () => {
  const three = `3:${randomBytes(32).toString("base64url")}`;
  const replicas = await Promise.all([start(`${two}\n${three}`), start(`${two}\n${three}`)]);
  const answers = await Promise.all(replicas.map((replica) => call(replica, "POST", "/v1/secrets/rewrap")));
  const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as { rewrap: { id: string } }).rewrap.id));
  const { rewrap } = await waitFor(async () => {
    const seen = await overview(replicas[0]);
    return seen.rewrap?.state === "finished" && seen;
  });
  expect(ids).toContain(rewrap?.id);
  expect(rewrap).toMatchObject({ done: expect.toSatisfy((done: number) => done === secretCount || done === 0), failed: 0 });
  const { done } = await db
    .selectFrom("secret_rewraps")
    .select(sql<number>`sum(done)::int4`.as("done"))
    .where("to_fingerprint", "=", rewrap!.to_fingerprint)
    .executeTakeFirstOrThrow();
  expect(done).toBe(secretCount);
  for (const replica of replicas) expect(await read(replica, "secret-7")).toBe(values.get("secret-7"));
});

let started = 0;
async function start(keyEncryptionKeys: string): Promise<ServiceProcess> {
  const service = await startServiceProcess({
    service: "pv-keys",
    directory: folderOf(scene, `keys-${started++}`),
    environment: ({ port, internalPort }) => ({
      ...scene.environment("keys", wires),
      PORT: String(port),
      NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort),
      NEXUS_KEY_ENCRYPTION_KEYS: keyEncryptionKeys,
    }),
  });
  processes.push(service);
  return service;
}

function call(service: ServiceProcess, method: string, path: string, body?: object): Promise<Response> {
  return fetch(`http://127.0.0.1:${service.port}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${scene.issuer.token(scene.person, "pv-keys")}`,
      ...(body ? { "content-type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
}

async function overview(service: ServiceProcess): Promise<SecretRewrapOverview> {
  return (await (await call(service, "GET", "/v1/secrets/rewrap")).json()) as SecretRewrapOverview;
}

async function read(service: ServiceProcess, name: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${service.internalPort}/v1/secrets/read`, {
    method: "POST",
    headers: { authorization: `Bearer ${scene.serviceToken}`, "content-type": "application/json" },
    body: JSON.stringify({ name }),
  });
  expect(answer.status).toBe(200);
  return ((await answer.json()) as ReadSecretAnswer).value;
}

/** Row locks in a transaction of the test's own. */
async function holdRows(statement: string): Promise<{ release(): Promise<void> }> {
  const end = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holding = db.transaction().execute(async (tx) => {
    await sql.raw(statement).execute(tx);
    locked.resolve();
    await end.promise;
  });
  await Promise.race([locked.promise, holding]);
  return {
    release: async () => {
      end.resolve();
      await holding;
    },
  };
}

async function waitingForLock(): Promise<number> {
  const { rows } = await sql<{ count: number }>`SELECT count(*)::int4 AS count FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%secret_rewraps%'`.execute(db);
  return rows[0]!.count;
}

/** Data keys by key-encryption key, the fewest first. */
async function wrappedBy(): Promise<number[]> {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*)::int4 AS count FROM secret_versions GROUP BY wrapped_by ORDER BY 1`.execute(db);
  return rows.map(({ count }) => count);
}

async function ciphertexts(): Promise<string[]> {
  const rows = await db.selectFrom("secret_versions").select("ciphertext").orderBy("secret_id").orderBy("version").execute();
  return rows.map(({ ciphertext }) => ciphertext!.toString("hex"));
}
