import { loadConfig } from "@nexus/config";
import type { Freeze, FreezeAnswer } from "@nexus/contracts/freezes";
import type { CreatedKey } from "@nexus/contracts/keys";
import { newId, newUuid } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson, startTestRedis, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

let scene: KeysScene;
let redis: Awaited<ReturnType<typeof startTestRedis>>;
/** Two replicas: what one freezes the other refuses. */
let service: RunningService;
let replica: RunningService;
let alice: ScenePerson;
let bob: ScenePerson;
let admin: ScenePerson;

beforeAll(async () => {
  [scene, redis] = await Promise.all([openKeysScene(), startTestRedis()]);
  [alice, bob, admin] = await Promise.all([scene.person(), scene.person(), scene.person(["admin"])]);
  const logger = createLogger({ service: "pv-keys", level: "warn", destination: captureLogs().stream });
  const config = loadConfig(configSchema, { ...scene.environment, REDIS_URL: redis.target.url }, configRules);
  [service, replica] = await Promise.all([startService(config, { logger }), startService(config, { logger })]);
});
afterEach(async () => {
  const { data } = await list(admin);
  for (const { id } of data) await scene.call(`${service.url}/v1/thaw`, admin, { body: { id } });
});
afterAll(async () => {
  await Promise.all([service.close(), replica.close()]);
  await scene.close();
  await redis.stop();
});

async function make(by: ScenePerson, fields: object = {}): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, by, { body: { name: "k", ...fields } });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

async function freeze(by: ScenePerson, body: object, status = 200): Promise<FreezeAnswer> {
  const answer = await scene.call(`${service.url}/v1/freeze`, by, { body: { reason: "because", ...body } });
  expect(answer.status).toBe(status);
  return (await answer.json()) as FreezeAnswer;
}

async function thaw(by: ScenePerson, id: string, status = 200): Promise<FreezeAnswer> {
  const answer = await scene.call(`${service.url}/v1/thaw`, by, { body: { id } });
  expect(answer.status).toBe(status);
  return (await answer.json()) as FreezeAnswer;
}

async function list(by: ScenePerson, query = ""): Promise<{ data: Freeze[]; next_cursor: string | null; has_more: boolean }> {
  const answer = await scene.call(`${service.url}/v1/freeze${query}`, by);
  expect(answer.status).toBe(200);
  return (await answer.json()) as Awaited<ReturnType<typeof list>>;
}

/** Asked of the replica that did not freeze. */
async function verify(key: string): Promise<unknown> {
  const answer = await scene.call(`${replica.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
  return await answer.json();
}

async function audited(id: string): Promise<{ action: string; details: Record<string, unknown> }[]> {
  const rows = await scene.owner.db
    .selectFrom("audit_log")
    .select(["action", "details", "targets"])
    .orderBy("writer_seq")
    .execute();
  return rows.filter(({ targets }) => (targets as { id: string }[]).some((target) => target.id === id));
}

const frozen = { valid: false, code: "frozen" };

describe("freezing", () => {
  it.each<[string, (key: CreatedKey) => object]>([
    ["their organization", () => ({ kind: "organization" })],
    ["themselves", () => ({ kind: "owner", target: alice.userId })],
    ["an environment", () => ({ kind: "environment", target: "live" })],
    ["a key", ({ key }) => ({ kind: "key", target: key.id })],
  ])("a person freezes %s: after the receipt no replica takes the key, and after the thaw's all do", async (_what, body) => {
    const [mine, theirs] = [await make(alice), await make(bob)];
    expect(await verify(mine.secret)).toMatchObject({ valid: true });
    const answer = await freeze(alice, body(mine));
    expect(await verify(mine.secret)).toEqual(frozen);
    expect(await verify(theirs.secret)).toMatchObject({ valid: true });
    expect(answer).toMatchObject({
      freeze: { authority: "organization", organization_id: alice.organizationId, created_by: alice.userId, thawed_at: null },
      receipt: { rev: answer.freeze.rev, confirmed: true },
    });
    expect(answer.receipt.nodes.map(({ state }) => state)).toEqual(["applied", "applied"]);
    expect(answer.effective_after_ms).toBe(answer.receipt.elapsed_ms);
    const thawed = await thaw(alice, answer.freeze.id);
    expect(thawed.freeze).toMatchObject({ thawed_by: alice.userId });
    expect(await verify(mine.secret)).toMatchObject({ valid: true });
  });

  it("everything stops every key, service keys too, and an administrator ends it", async () => {
    const [mine, theirs] = [await make(alice), await make(admin, { kind: "svc", scopes: ["keys:verify"] })];
    const { freeze: made } = await freeze(admin, { kind: "everything" });
    expect(made).toMatchObject({ kind: "everything", target: null, organization_id: null, authority: "platform" });
    expect(await verify(mine.secret)).toEqual(frozen);
    const refused = await scene.call(`${replica.url}/v1/keys/verify`, theirs.secret, { body: { key: mine.secret } });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ code: "frozen" });
    // People still manage their keys: one that leaked is revoked all the same.
    expect((await scene.call(`${service.url}/v1/keys/${mine.key.id}`, alice)).status).toBe(200);
    await thaw(admin, made.id);
    expect(await verify(mine.secret)).toMatchObject({ valid: true });
  });

  it("the same twice is one freeze, and thawing twice is one thaw", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => freeze(alice, { kind: "organization" })));
    expect(new Set(answers.map((answer) => answer.freeze.id)).size).toBe(1);
    const { id } = answers[0]!.freeze;
    const thaws = [await thaw(alice, id), await thaw(alice, id)];
    expect(thaws[1]!.freeze).toEqual(thaws[0]!.freeze);
    expect((await audited(id)).map(({ action }) => action)).toEqual([
      "freeze.created",
      "freeze.effective",
      "freeze.thawed",
      "thaw.effective",
    ]);
    expect((await freeze(alice, { kind: "organization" })).freeze.id).not.toBe(id);
  });

  it("sent again late, under its Idempotency-Key, neither undoes what came meanwhile", async () => {
    const key = await make(alice);
    const body = { kind: "organization", reason: "because" };
    const [freezing, thawing] = [`freeze-${key.key.id}`, `thaw-${key.key.id}`];
    const send = async (path: string, sent: object, once: string) =>
      await scene.call(`${service.url}${path}`, alice, { body: sent, headers: { "idempotency-key": once } });
    const first = (await (await send("/v1/freeze", body, freezing)).json()) as FreezeAnswer;
    const { id } = first.freeze;
    expect((await send("/v1/freeze", { ...body, reason: "another" }, freezing)).status).toBe(422);
    await send("/v1/thaw", { id }, thawing);
    const again = await send("/v1/freeze", body, freezing);
    expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([200, "true"]);
    expect(await again.json()).toMatchObject({ freeze: first.freeze, receipt: { rev: first.freeze.rev, confirmed: true } });
    expect(await verify(key.secret)).toMatchObject({ valid: true });
    const anew = await freeze(alice, body);
    expect((await send("/v1/thaw", { id }, thawing)).headers.get("idempotent-replayed")).toBe("true");
    expect(await verify(key.secret)).toEqual(frozen);
    expect(anew.freeze.id).not.toBe(id);
    // Once each: what was sent again is not written down again.
    const actions = (await audited(id)).map(({ action }) => action);
    expect(actions).toEqual(["freeze.created", "freeze.effective", "freeze.thawed", "thaw.effective"]);
  });

  it("the measured time to effect stands in the audit log, node by node", async () => {
    const { freeze: made, receipt } = await freeze(alice, { kind: "model", target: "some-model" });
    const [, effective] = await audited(made.id);
    expect(effective).toEqual({
      action: "freeze.effective",
      targets: expect.anything(),
      details: { rev: made.rev, elapsed_ms: receipt.elapsed_ms, nodes: receipt.nodes },
    });
  });

  it("a node that may not know yet is named with the time until which it may not, and the log says so", async () => {
    await sql`INSERT INTO verifier_leases (verifier_id, service, node, generation, applied_rev, blind_seconds)
      SELECT gen_random_uuid(), 'puaboai-sdk', 'paused:3002', generation, rev, 60 FROM change_counter`.execute(scene.owner.db);
    const answer = await freeze(alice, { kind: "organization" }, 202);
    expect(answer).toMatchObject({ effective_after_ms: null, receipt: { confirmed: false } });
    const paused = answer.receipt.nodes.find(({ node }) => node === "paused:3002")!;
    expect(paused.state).toBe("pending");
    expect(Date.parse(paused.until!) - Date.now()).toBeGreaterThan(50_000);
    expect((await audited(answer.freeze.id)).map(({ action }) => action)).toEqual(["freeze.created", "freeze.unconfirmed"]);
    await sql`DELETE FROM verifier_leases WHERE node = 'paused:3002'`.execute(scene.owner.db);
    // Asked again, the same freeze gives its receipt.
    await waitFor(async () => (await freeze(alice, { kind: "organization" })).receipt.confirmed);
  });
});

describe("who may", () => {
  it("what an administrator froze in an organization its people see and cannot thaw, whatever they froze themselves", async () => {
    const key = await make(alice);
    const own = await freeze(alice, { kind: "organization" });
    const imposed = await freeze(admin, { kind: "organization", target: alice.organizationId });
    expect(imposed.freeze.id).not.toBe(own.freeze.id);
    expect((await list(alice)).data.map(({ id }) => id).toSorted()).toEqual([own.freeze.id, imposed.freeze.id].toSorted());
    await thaw(alice, imposed.freeze.id, 403);
    await thaw(alice, own.freeze.id);
    expect(await verify(key.secret)).toEqual(frozen);
    await thaw(admin, imposed.freeze.id);
    expect(await verify(key.secret)).toMatchObject({ valid: true });
  });

  it("nobody freezes, sees or thaws another organization's", async () => {
    const key = await make(bob);
    await freeze(alice, { kind: "organization", target: bob.organizationId }, 404);
    await freeze(alice, { kind: "key", target: key.key.id }, 404);
    await freeze(alice, { kind: "everything" }, 403);
    // Bob's user within Alice's organization is nobody: Bob's own key is none of it.
    await freeze(alice, { kind: "owner", target: bob.userId });
    expect(await verify(key.secret)).toMatchObject({ valid: true });
    const { freeze: his } = await freeze(bob, { kind: "environment", target: "live" });
    expect((await list(alice)).data.map(({ id }) => id)).not.toContain(his.id);
    await thaw(alice, his.id, 404);
  });

  it("no key pulls the switch, and nobody without a credential", async () => {
    const root = await make(alice, { kind: "rk", scopes: ["keys:*"] });
    const body = { kind: "organization", reason: "x" };
    expect((await scene.call(`${service.url}/v1/freeze`, root.secret, { body })).status).toBe(403);
    const headers = { "content-type": "application/json" };
    const stranger = await fetch(`${service.url}/v1/freeze`, { method: "POST", headers, body: JSON.stringify(body) });
    expect(stranger.status).toBe(401);
  });

  it.each([
    [{ kind: "everything", target: "x" }],
    [{ kind: "environment", target: "prod" }],
    [{ kind: "environment" }],
    [{ kind: "model" }],
    [{ kind: "provider", target: "a\nb" }],
    [{ kind: "owner", target: "usr_1" }],
    [{ kind: "planet", target: "x" }],
    [{ kind: "model", target: "m".repeat(201) }],
    [{ kind: "model", target: "m", reason: "" }],
    [{ kind: "model", target: "m", reason: "x".repeat(501) }],
  ])("%j is refused and freezes nothing", async (body) => {
    await freeze(admin, body, 422);
    expect((await list(admin)).data).toEqual([]);
  });

  it.each(["frz_1", newId("freeze"), newUuid()])("thawing %s finds nothing", async (id) => {
    await thaw(admin, id, 404);
  });
});

it("lists what holds, page by page, and with all=true what was thawed", async () => {
  const ids: string[] = [];
  for (const target of ["a", "b", "c"]) ids.push((await freeze(alice, { kind: "model", target })).freeze.id);
  await thaw(alice, ids[1]!);
  expect((await list(alice)).data.map(({ id }) => id)).toEqual([ids[2], ids[0]]);
  const first = await list(alice, "?all=true&limit=2");
  expect(first.data.map(({ id }) => id)).toEqual([ids[2], ids[1]]);
  expect(first.has_more).toBe(true);
  const next = await list(alice, `?all=true&limit=2&cursor=${encodeURIComponent(first.next_cursor!)}`);
  expect(next.data[0]!.id).toBe(ids[0]);
});
