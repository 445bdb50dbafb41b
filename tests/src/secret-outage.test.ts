/** Secrets while PostgreSQL is away, and what of them travels to it: pv-keys as a real process with a wire that can be cut. */
import { randomBytes } from "node:crypto";
import type { ReadSecretAnswer } from "@nexus/contracts/secrets";
import { waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ServiceProcess, startServiceProcess } from "./fleet/child.ts";
import { type Relay, startRelay } from "./fleet/relay.ts";
import { folderOf, openScene, type Scene } from "./fleet/scene.ts";

const [right, wrong] = [`1:${secretText()}`, `1:${secretText()}`];
const value = secretText();
let keyEncryptionKeys = right;
let scene: Scene;
let wires: { postgres: Relay; redis: Relay };
let keys: ServiceProcess;

beforeAll(async () => {
  scene = await openScene({ blindSeconds: 60 });
  wires = { postgres: await startRelay(scene.database.keys.port), redis: await startRelay(scene.redis.port) };
  keys = await startServiceProcess({
    service: "pv-keys",
    directory: folderOf(scene, "keys"),
    environment: ({ port, internalPort }) => ({
      ...scene.environment("keys", wires),
      PORT: String(port),
      NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort),
      NEXUS_KEY_ENCRYPTION_KEYS: keyEncryptionKeys,
    }),
  });
});
afterAll(async () => {
  await keys.kill();
  await Promise.all(Object.values(wires).map((wire) => wire.close()));
  await scene.close();
});

it("neither a value nor a key that opens it ever travels to PostgreSQL", async () => {
  const heard = wires.postgres.listen();
  expect((await create("kept")).status).toBe(201);
  expect(await read("kept")).toMatchObject({ status: 200, body: { value } });
  const text = heard();
  expect(text).toContain("secret_versions");
  for (const secret of [value, right.slice(2)]) {
    expect(text).not.toContain(secret);
    expect(text).not.toContain(Buffer.from(secret).toString("hex"));
  }
});

it.each(["cut", "hung"] as const)(
  "PostgreSQL %s: no value leaves, nothing half-made stays, and all is well when it is back",
  async (state) => {
    wires.postgres.state = state;
    const name = `made-while-${state}`;
    const [gone, made] = await Promise.all([read("kept"), create(name)]);
    expect([gone.status, made.status]).toEqual([503, 503]);
    expect(JSON.stringify(gone.body)).not.toContain(value);
    wires.postgres.state = "open";
    await waitFor(async () => (await read("kept")).status === 200);
    const { db } = scene.database.openOwner();
    const found = await db.selectFrom("secrets").select("id").where("name", "=", name).execute();
    const versions = await db.selectFrom("secret_versions").select("version").execute();
    expect([found.length, versions.length]).toEqual([0, 1]);
  },
);

it("started without PostgreSQL and with a wrong key: not ready when PostgreSQL comes, names the fingerprints, changes nothing", async () => {
  await keys.kill();
  wires.postgres.state = "cut";
  keyEncryptionKeys = wrong;
  await keys.start({ untilReady: false });
  await waitFor(async () => (await ready()).status === 503, { timeoutMs: 20_000 });
  const before = await rows();
  wires.postgres.state = "open";
  const said = await waitFor(async () => {
    const { text } = await ready();
    return text.includes("fingerprint") && text;
  });
  expect(said).toContain("NEXUS_KEY_ENCRYPTION_KEYS lacks the key");
  expect((await read("kept")).status).toBe(503);
  expect((await create("with-the-wrong-key")).status).toBe(503);
  expect(await rows()).toEqual(before);

  await keys.kill();
  keyEncryptionKeys = right;
  await keys.start();
  expect(await read("kept")).toMatchObject({ status: 200, body: { value } });
});

it("nothing of it stands in the logs", () => {
  for (const secret of [value, right.slice(2), wrong.slice(2)]) expect(keys.output()).not.toContain(secret);
});

function secretText(): string {
  return randomBytes(32).toString("base64url");
}

function create(name: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${keys.port}/v1/secrets`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${scene.issuer.token(scene.person, "pv-keys")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ name, value, readers: ["puaboai-sdk"], scope: "installation" }),
  });
}

async function read(name: string): Promise<{ status: number; body: ReadSecretAnswer }> {
  const answer = await fetch(`http://127.0.0.1:${keys.internalPort}/v1/secrets/read`, {
    method: "POST",
    headers: { authorization: `Bearer ${scene.serviceToken}`, "content-type": "application/json" },
    body: JSON.stringify({ name }),
  });
  return { status: answer.status, body: (await answer.json()) as ReadSecretAnswer };
}

async function ready(): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${keys.port}/readyz`);
  return { status: answer.status, text: await answer.text() };
}

/** The tables of secrets. */
async function rows(): Promise<unknown> {
  const { db } = scene.database.openOwner();
  return await Promise.all(
    ["secrets", "secret_versions", "key_encryption_keys", "secret_rewraps"].map(async (table) => {
      const found = await sql<{ line: string }>`SELECT t::text AS line FROM ${sql.table(table)} AS t ORDER BY 1`.execute(db);
      return found.rows.map(({ line }) => line);
    }),
  );
}
