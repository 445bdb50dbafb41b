/** What a change answers of its way to everybody who decides about keys: two replicas, real PostgreSQL and Redis. */
import { loadConfig } from "@nexus/config";
import type { BulkRevoked } from "@nexus/contracts/bulk-keys";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import type { Receipt } from "@nexus/contracts/receipts";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson, startTestRedis } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

let scene: KeysScene;
let redis: Awaited<ReturnType<typeof startTestRedis>>;
let service: RunningService;
let replica: RunningService;
let alice: ScenePerson;

beforeAll(async () => {
  [scene, redis] = await Promise.all([openKeysScene(), startTestRedis()]);
  alice = await scene.person();
  const logger = createLogger({ service: "pv-keys", level: "warn", destination: captureLogs().stream });
  const config = loadConfig(configSchema, { ...scene.environment, REDIS_URL: redis.target.url }, configRules);
  [service, replica] = await Promise.all([startService(config, { logger }), startService(config, { logger })]);
});
afterEach(async () => {
  await sql`DELETE FROM verifier_leases WHERE node = 'silent:3002'`.execute(scene.owner.db);
});
afterAll(async () => {
  await Promise.all([service.close(), replica.close()]);
  await scene.close();
  await redis.stop();
});

async function make(fields: object = {}): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, alice, { body: { name: "k", ...fields } });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

async function post<T>(path: string, { body, status = 200 }: { body?: object; status?: number } = {}): Promise<T> {
  const answer = await scene.call(`${service.url}/v1/keys/${path}`, alice, { method: "POST", ...(body && { body }) });
  expect(answer.status).toBe(status);
  return (await answer.json()) as T;
}

/** Asked of the replica that did not change the key. */
async function verify(key: string): Promise<{ valid: boolean; code?: string }> {
  const answer = await scene.call(`${replica.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
  return (await answer.json()) as { valid: boolean; code?: string };
}

/** A process that never says anything again. */
async function silentNode(): Promise<void> {
  await sql`INSERT INTO verifier_leases (verifier_id, service, node, generation, applied_rev, blind_seconds)
    SELECT gen_random_uuid(), 'puaboai-sdk', 'silent:3002', generation, rev, 60 FROM change_counter`.execute(scene.owner.db);
}

async function receiptsOf(keyId: string): Promise<{ action: string; details: Record<string, unknown> }[]> {
  const rows = await scene.owner.db
    .selectFrom("audit_log")
    .select(["action", "details", "targets"])
    .where("action", "like", "key.%confirmed")
    .execute();
  return rows.filter(({ targets }) => (targets as { id: string }[]).some(({ id }) => id === keyId));
}

describe("revoking", () => {
  it("with wait=1 answers when every replica refuses, and the audit log keeps the time and the nodes", async () => {
    const { key, secret } = await make();
    expect(await verify(secret)).toMatchObject({ valid: true });
    const { receipt, key: revoked } = await post<{ key: Key; receipt: Receipt }>(`${key.id}/revoke?wait=1`);
    expect(await verify(secret)).toEqual({ valid: false, code: "revoked" });
    expect(revoked.state).toBe("revoked");
    expect(receipt).toMatchObject({ rev: revoked.rev, confirmed: true });
    expect(receipt.nodes.map((node) => node.state)).toEqual(["applied", "applied"]);
    expect(await receiptsOf(key.id)).toMatchObject([
      {
        action: "key.revocation_confirmed",
        details: { rev: revoked.rev, elapsed_ms: receipt.elapsed_ms, nodes: receipt.nodes },
      },
    ]);
  });

  it("without it answers at once, and promises nothing", async () => {
    const { key } = await make();
    expect(Object.keys(await post<object>(`${key.id}/revoke`))).toEqual(["key"]);
    expect(await receiptsOf(key.id)).toEqual([]);
  });

  it("again gives the receipt of the first time", async () => {
    const { key } = await make();
    const first = await post<{ key: Key }>(`${key.id}/revoke`);
    const { receipt } = await post<{ receipt: Receipt }>(`${key.id}/revoke?wait=1`);
    expect(receipt).toMatchObject({ rev: first.key.rev, confirmed: true });
  });

  it("answers 202 with the node that may not know, and until when, after two seconds at most", async () => {
    const { key } = await make();
    await silentNode();
    const startedAt = performance.now();
    const { receipt } = await post<{ receipt: Receipt }>(`${key.id}/revoke?wait=1`, { status: 202 });
    expect(performance.now() - startedAt).toBeLessThan(3500);
    const silent = receipt.nodes.find(({ node }) => node === "silent:3002")!;
    expect(silent.state).toBe("pending");
    expect(Date.parse(silent.until!) - Date.now()).toBeGreaterThan(50_000);
    expect(receipt.nodes.filter(({ state }) => state === "applied")).toHaveLength(2);
    expect(await receiptsOf(key.id)).toMatchObject([{ action: "key.revocation_unconfirmed" }]);
  });

  it("a root key answers 200 all the same: nobody goes on with it when the lease is over", async () => {
    const { key } = await make({ kind: "rk", scopes: ["keys:*"] });
    await silentNode();
    const { receipt } = await post<{ receipt: Receipt }>(`${key.id}/revoke?wait=1`);
    expect(receipt.nodes.find(({ node }) => node === "silent:3002")?.state).toBe("run_out");
  });

  it("refuses any other wait, and revokes nothing", async () => {
    const { key, secret } = await make();
    await post(`${key.id}/revoke?wait=2`, { status: 422 });
    expect(await verify(secret)).toMatchObject({ valid: true });
  });
});

it("disabling and a rotation without overlap give receipts too", async () => {
  const { key, secret } = await make();
  const disabled = await post<{ key: Key; receipt: Receipt }>(`${key.id}/disable?wait=1`);
  expect(await verify(secret)).toEqual({ valid: false, code: "disabled" });
  expect(disabled.receipt).toMatchObject({ rev: disabled.key.rev, confirmed: true });
  await post(`${key.id}/enable?wait=1`);
  expect(await verify(secret)).toMatchObject({ valid: true });
  const rotated = await post<CreatedKey & { receipt: Receipt }>(`${key.id}/rotate?wait=1`, { body: { overlap_seconds: 0 } });
  expect(await verify(secret)).toMatchObject({ valid: false });
  expect(await verify(rotated.secret)).toMatchObject({ valid: true });
  expect(rotated.receipt).toMatchObject({ rev: rotated.key.rev, confirmed: true });
  expect((await receiptsOf(key.id)).map(({ action }) => action)).toEqual([
    "key.change_confirmed",
    "key.change_confirmed",
    "key.change_confirmed",
  ]);
});

it("many keys revoked at once have one receipt, that of the last", async () => {
  const keys = [await make(), await make(), await make()];
  for (const { secret } of keys) expect(await verify(secret)).toMatchObject({ valid: true });
  const body = { ids: keys.map(({ key }) => key.id) };
  const answer = await post<BulkRevoked & { receipt: Receipt }>("bulk-revoke?wait=1", { body });
  for (const { secret } of keys) expect(await verify(secret)).toEqual({ valid: false, code: "revoked" });
  expect(answer.receipt).toMatchObject({ rev: Math.max(...answer.revoked.map(({ rev }) => rev)), confirmed: true });
  const again = await post<object>("bulk-revoke?wait=1", { body });
  expect(again).not.toHaveProperty("receipt");
});
