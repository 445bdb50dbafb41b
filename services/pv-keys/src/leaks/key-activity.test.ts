import { loadConfig } from "@nexus/config";
import type { CreatedKey } from "@nexus/contracts/keys";
import type { KeyActivity } from "@nexus/contracts/leaks";
import { newUuid, toId, uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

let scene: KeysScene;
let service: RunningService;
let alice: ScenePerson;
let bob: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  [alice, bob] = await Promise.all([scene.person(), scene.person()]);
  const logger = createLogger({ service: "pv-keys", level: "warn", destination: captureLogs().stream });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

async function make(by: ScenePerson, fields: object = {}): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, by, { body: { name: "k", ...fields } });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

async function activity(by: ScenePerson | string, id: string, query = ""): Promise<KeyActivity> {
  const answer = await scene.call(`${service.url}/v1/keys/${id}/activity${query}`, by);
  expect(answer.status).toBe(200);
  return (await answer.json()) as KeyActivity;
}

interface Call {
  keyId: string;
  organizationId: string;
  at: Date;
  model?: string;
  attempt?: number;
  requestId?: string;
  outcome?: "ok" | "error";
}

/** What the gateway writes down of a call. */
async function called({ keyId, organizationId, at, model = "m", attempt = 1, requestId, outcome = "ok" }: Call): Promise<string> {
  const request_id = requestId ?? newUuid();
  await scene.owner.db
    .insertInto("usage_events")
    .values({
      occurred_at: at,
      request_id,
      attempt,
      organization_id: uuidOf("organization", organizationId) ?? "",
      key_id: uuidOf("key", keyId) ?? "",
      endpoint: "chat.completions",
      model,
      provider: "p",
      upstream_model: model,
      stream: false,
      outcome,
      input_tokens: 10n,
      output_tokens: 5n,
      usage_source: "provider",
      cost_nanos: 1_000n,
      duration_ms: 1,
    })
    .execute();
  return toId("request", request_id);
}

const hoursAgo = (hours: number): Date => new Date(Date.now() - hours * 3_600_000);

it("sums what the key called, for each model and day, and names its last calls", async () => {
  const { key } = await make(alice);
  const of = { keyId: key.id, organizationId: alice.organizationId };
  const first = await called({ ...of, at: hoursAgo(50), model: "a" });
  const retried = newUuid();
  await called({ ...of, at: hoursAgo(2), model: "b", requestId: retried, outcome: "error" });
  await called({ ...of, at: hoursAgo(2), model: "b", requestId: retried, attempt: 2 });
  const last = await called({ ...of, at: hoursAgo(1), model: "b" });
  const { usage } = await activity(alice, key.id);
  expect(usage).toMatchObject({ requests: 3, failed: 1, input_tokens: 40, output_tokens: 20, cost_nanos: "4000" });
  expect(usage.by_model).toMatchObject([
    { endpoint: "chat.completions", model: "b", requests: 2, cost_nanos: "3000" },
    { model: "a", requests: 1, cost_nanos: "1000", last_at: usage.first_at },
  ]);
  expect(usage.by_day.reduce((sum, { requests }) => sum + requests, 0)).toBe(3);
  expect(usage.by_day.map(({ day }) => day)).toEqual(
    usage.by_day
      .map(({ day }) => day)
      .toSorted()
      .toReversed(),
  );
  expect(usage.by_day.at(-1)?.day).toBe(hoursAgo(50).toISOString().slice(0, 10));
  expect(usage.last_calls.map(({ request_id }) => request_id)).toEqual([
    last,
    toId("request", retried),
    toId("request", retried),
    first,
  ]);
  // Within the last day there was only one of the models.
  expect((await activity(alice, key.id, "?days=1")).usage).toMatchObject({ requests: 2, by_model: [{ model: "b" }] });
});

it("shows what the key did in the audit log, and what was done to it", async () => {
  const root = await make(alice, { kind: "rk", scopes: ["keys:*"] });
  const made = await scene.call(`${service.url}/v1/keys`, root.secret, { body: { name: "by the root key" } });
  expect(made.status).toBe(201);
  const requestId = made.headers.get("x-request-id");
  const { entries, has_more } = (await activity(alice, root.key.id)).audit;
  expect(has_more).toBe(false);
  expect(entries).toMatchObject([
    { action: "key.created", by_key: true, actor: { kind: "key", id: root.key.id }, request_id: requestId },
    { action: "key.created", by_key: false, actor: { kind: "person", id: alice.userId } },
  ]);
  // The root key may ask as well; the key that it made did nothing.
  const { key } = (await made.json()) as CreatedKey;
  expect((await activity(root.secret, key.id)).audit.entries).toMatchObject([{ by_key: false }]);
});

it("counts who still shows the key after its end, beside those who showed it before", async () => {
  const { key, secret } = await make(alice);
  const verify = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++)
      await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key: secret } });
  };
  await verify(3);
  expect((await scene.call(`${service.url}/v1/keys/${key.id}/revoke`, alice, { method: "POST" })).status).toBe(200);
  await verify(2);
  await expect
    .poll(async () => (await activity(alice, key.id)).decisions, { timeout: 20_000 })
    .toMatchObject([
      { version: 1, service: "pv-keys", outcome: "revoked", uses: 2 },
      { version: 1, service: "pv-keys", outcome: "valid", uses: 3 },
    ]);
});

it("is empty for a key that did nothing", async () => {
  const { key } = await make(bob);
  expect((await activity(bob, key.id, "?days=400")).usage).toEqual({
    requests: 0,
    failed: 0,
    input_tokens: 0,
    output_tokens: 0,
    cost_nanos: "0",
    first_at: null,
    last_at: null,
    by_model: [],
    by_day: [],
    last_calls: [],
  });
});

it("tells nobody of another organization's key, whatever rows name it", async () => {
  const { key } = await make(alice);
  await called({ keyId: key.id, organizationId: alice.organizationId, at: hoursAgo(1) });
  // Rows of another tenant that name the key are not this tenant's to see.
  await called({ keyId: key.id, organizationId: bob.organizationId, at: hoursAgo(1) });
  expect((await scene.call(`${service.url}/v1/keys/${key.id}/activity`, bob)).status).toBe(404);
  expect((await activity(alice, key.id)).usage.requests).toBe(1);
});

it.each(["0", "401", "-1", "1.5", "many"])("takes no window of %s days", async (days) => {
  const { key } = await make(alice);
  expect((await scene.call(`${service.url}/v1/keys/${key.id}/activity?days=${days}`, alice)).status).toBe(422);
});

it("is all that pv-keys may read of these tables, and nobody else may ask", async () => {
  const { rows } = await sql<{ role: string; may: boolean }>`
    SELECT role, has_function_privilege(role, f::regprocedure, 'EXECUTE') AS may
    FROM unnest(ARRAY['nexus_api', 'nexus_ai', 'nexus_keys']) AS role,
      unnest(ARRAY['key_usage_activity(uuid, uuid, timestamptz)', 'key_last_calls(uuid, uuid, timestamptz, integer)',
        'key_audit_activity(uuid, uuid, timestamptz, integer)']) AS f`.execute(scene.owner.db);
  expect(rows).toHaveLength(9);
  for (const { role, may } of rows) expect(may).toBe(role === "nexus_keys");
});
