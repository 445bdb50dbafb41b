/** Uses are counted in memory and written in batches: by a real process, whose end and whose loss of PostgreSQL are tried. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { KeyUsage } from "@nexus/contracts/key-usage";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { freePort, type KeysScene, openKeysScene, type ScenePerson, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";

const main = new URL("../main.ts", import.meta.url).pathname;
let scene: KeysScene;
let alice: ScenePerson;
let bob: ScenePerson;
let child: ChildProcess;
let url: string;
let internalUrl: string;

beforeAll(async () => {
  scene = await openKeysScene();
  [alice, bob] = await Promise.all([scene.person(), scene.person()]);
  await start();
});
afterAll(async () => {
  await end("SIGKILL");
  await scene.close();
});

async function start(): Promise<void> {
  const [port, internalPort] = [await freePort(), await freePort()];
  const ports = { PORT: String(port), NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort), NEXUS_LOG_LEVEL: "error" };
  child = spawn(process.execPath, [main], {
    env: { PATH: process.env["PATH"] ?? "", ...scene.environment, ...ports },
    stdio: ["ignore", "ignore", "inherit"],
  });
  [url, internalUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${internalPort}`];
  await waitFor(async () => (await fetch(`${url}/readyz`)).status === 200, { timeoutMs: 20_000 });
}

async function end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

async function make(): Promise<CreatedKey> {
  return (await (await scene.call(`${url}/v1/keys`, alice, { body: { name: "used" } })).json()) as CreatedKey;
}

async function verify(key: string, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) {
    const answer = await scene.call(`${internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
    expect(answer.status).toBe(200);
  }
}

async function usage(id: string, query = "", by: ScenePerson = alice): Promise<KeyUsage> {
  const answer = await scene.call(`${url}/v1/keys/${id}/usage${query}`, by);
  expect(answer.status).toBe(200);
  return (await answer.json()) as KeyUsage;
}

it("uses are there some seconds later, by outcome, with the time of the last one", async () => {
  const { key, secret } = await make();
  const before = Date.now();
  await verify(secret, 7);
  await scene.call(`${url}/v1/keys/${key.id}/disable`, alice, { method: "POST" });
  await verify(secret, 2);
  const seen = await waitFor(async () => {
    const now = await usage(key.id, "?by=hour");
    return now.data.length === 2 && now;
  });
  expect(seen.total).toBe(7);
  expect(seen.data.map(({ version, service, outcome, uses }) => ({ version, service, outcome, uses }))).toEqual([
    { version: 1, service: "pv-keys", outcome: "disabled", uses: 2 },
    { version: 1, service: "pv-keys", outcome: "valid", uses: 7 },
  ]);
  const read = (await (await scene.call(`${url}/v1/keys/${key.id}`, alice)).json()) as { key: Key };
  const last = Date.parse(read.key.versions[0]?.last_used_at ?? "");
  expect(last).toBeGreaterThanOrEqual(before - 100);
  expect(last).toBeLessThanOrEqual(Date.now());
});

it("a use is counted once, alone or in a batch, by the lane or the ordinary way", async () => {
  const [one, other] = [await make(), await make()];
  const batch = { requests: [one, other, one].map(({ secret }) => ({ key: secret })) };
  for (let i = 0; i < 2; i++) await scene.call(`${internalUrl}/v1/keys/verify/batch`, scene.serviceToken, { body: batch });
  await verify(one.secret);
  const odd = { key: one.secret, model: "any" };
  await scene.call(`${internalUrl}/v1/keys/verify`, scene.serviceToken, { body: odd });
  await waitFor(async () => (await usage(one.key.id)).total >= 6);
  expect((await usage(one.key.id)).total).toBe(6);
  await waitFor(async () => (await usage(other.key.id)).total >= 2);
  expect((await usage(other.key.id)).total).toBe(2);
});

it("a process that stops in order writes what it has counted; one that is killed loses what it counted since it last wrote", async () => {
  const { key, secret } = await make();
  await verify(secret, 5);
  await end("SIGTERM");
  await start();
  expect((await usage(key.id)).total).toBe(5);
  await verify(secret, 3);
  await waitFor(async () => (await usage(key.id)).total === 8);
  await verify(secret, 4);
  await end("SIGKILL");
  await start();
  const { total } = await usage(key.id);
  expect(total).toBeGreaterThanOrEqual(8);
  expect(total).toBeLessThanOrEqual(12);
});

it("counts that cannot be written are written later, once", async () => {
  const { key, secret } = await make();
  await verify(secret, 3);
  await sql`ALTER FUNCTION record_key_uses(uuid, bigint, text, jsonb) RENAME TO record_key_uses_away`.execute(scene.owner.db);
  await verify(secret, 3);
  // Long enough for at least one attempt that fails.
  const start = performance.now();
  await waitFor(() => performance.now() - start > 6000);
  await sql`ALTER FUNCTION record_key_uses_away(uuid, bigint, text, jsonb) RENAME TO record_key_uses`.execute(scene.owner.db);
  await waitFor(async () => (await usage(key.id)).total === 6);
  const settled = performance.now();
  await waitFor(() => performance.now() - settled > 5500);
  expect((await usage(key.id)).total).toBe(6);
});

it("a batch whose answer was lost is not counted twice", async () => {
  const { key } = await make();
  const uses = JSON.stringify([
    { key_id: key.id.slice(4), version: 1, outcome: "valid", uses: 10, last_used_at: new Date().toISOString() },
  ]);
  const writer = "019f0000-0000-7000-8000-000000000001";
  const send = async (seq: number) =>
    (
      await sql<{ added: boolean }>`SELECT record_key_uses(${writer}::uuid, ${seq}, 'test', ${uses}::jsonb) AS added`.execute(
        scene.owner.db,
      )
    ).rows[0]?.added;
  expect([await send(1), await send(1), await send(2), await send(1)]).toEqual([true, false, true, false]);
  expect((await usage(key.id)).total).toBe(20);
});

it("another organization's key has no usage, and a span that makes no sense is refused by name", async () => {
  const { key } = await make();
  expect((await scene.call(`${url}/v1/keys/${key.id}/usage`, bob)).status).toBe(404);
  for (const query of ["?from=2030-01-01T00:00:00Z", "?from=2020-01-01T00:00:00Z", "?by=week", "?from=x"]) {
    expect((await scene.call(`${url}/v1/keys/${key.id}/usage${query}`, alice)).status).toBe(422);
  }
  expect(await usage(key.id)).toEqual({ data: [], total: 0, quota: null });
});

it("tells how a quota stands: what a process holds counts as used, and comes back when it accounts for it", async () => {
  const body = { name: "with quota", quota: { limit: 1000, refill: "month" } };
  const { key, secret } = (await (await scene.call(`${url}/v1/keys`, alice, { body })).json()) as CreatedKey;
  const now = new Date();
  const nextMonth = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1));
  const fresh = { limit: 1000, used: 0, held: 0, left: 1000, resets_at: nextMonth.toISOString() };
  expect((await usage(key.id)).quota).toEqual(fresh);
  await verify(secret, 3);
  const { quota } = await usage(key.id);
  expect(quota!.held).toBeGreaterThanOrEqual(1);
  expect(quota!.used).toBeGreaterThanOrEqual(3);
  expect(quota!.used + quota!.left).toBe(1000);
  await end("SIGTERM");
  await start();
  expect((await usage(key.id)).quota).toEqual({ ...fresh, used: 3, left: 997 });
  await scene.call(`${url}/v1/keys/${key.id}`, alice, { method: "PATCH", body: { quota: { limit: 2, refill: "never" } } });
  expect((await usage(key.id)).quota).toMatchObject({ limit: 2, left: 0, resets_at: null });
});
