import { openAuditWriter } from "@nexus/audit";
import { loadConfig } from "@nexus/config";
import { newId, newUuid, systemClock, toId, uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import {
  captureLogs,
  chatAnswer,
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let admin: string;

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const yaml = `
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true }
  down: { base_url: "http://127.0.0.1:1/v1", allow_private_network: true }
models:
  - id: priced
    provider: fake
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }
  - id: down
    provider: down
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }
routes:
  smart: { targets: [down, priced] }
`;
  const env = { ...scene.environment, PORT: "1", NEXUS_GATEWAY_CONFIG: scene.writeSettings(yaml) };
  const config = { ...loadConfig(configSchema, env, configRules), PORT: 0 };
  gateway = await startService(config, {
    logger: createLogger({ service: "puaboai-sdk", level: "debug", destination: captureLogs().stream }),
  });
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await scene.close();
});

async function chat(key: string, model: string, headers: Record<string, string> = {}): Promise<string> {
  provider.answerWith(chatAnswer({ usage: { prompt_tokens: 1000, completion_tokens: 2 } }));
  const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ model, max_tokens: 5, messages: [{ role: "user", content: "one two" }] }),
  });
  await answer.arrayBuffer();
  return answer.headers.get("x-request-id")!;
}
async function get(
  path: string,
  bearer: string,
): Promise<{ status: number; body: Record<string, unknown> & { data: { id: string }[] } }> {
  const answer = await fetch(gateway.url + path, { headers: { authorization: `Bearer ${bearer}` } });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> & { data: { id: string }[] } };
}
const idsOf = async (path: string, bearer: string) => (await get(path, bearer)).body.data.map(({ id }) => id);

test("the story of a request that fell back: both attempts with their budgets, timings, price and cost", async () => {
  const { key, id: keyId, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  const id = await chat(key, "smart", { "x-nexus-session": "run-7", "x-request-id": "mine" });
  const { status, body } = await get(`/v1/requests/${id}`, key);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    id,
    organization_id: organizationId,
    key_id: keyId,
    session: "run-7",
    client_request_id: "mine",
    requested_model: "smart",
    model: "priced",
    provider: "fake",
    outcome: "ok",
    http_status: 200,
    cost_nanos: "1020000",
    input_tokens: 1000,
    attempts: [
      {
        attempt: 1,
        requested_model: "smart",
        model: "down",
        provider: "down",
        outcome: "error",
        error_code: "upstream_failed",
        failure: "no_connection",
        upstream_status: null,
        cost_nanos: "0",
        started_ms: 0,
      },
      {
        attempt: 2,
        requested_model: "smart",
        model: "priced",
        outcome: "ok",
        failure: null,
        upstream_status: 200,
        cost_nanos: "1020000",
        price: { source: "test", effective: "2026-01-01" },
        budgets: [
          {
            level: "organization",
            subject: null,
            period: "total",
            enforcement: "hard",
            limit_nanos: "10000000000",
            settled_nanos: "0",
            window_start: null,
            resets_at: null,
          },
        ],
      },
    ],
    audit_entries: [],
  });
  const [, second] = body["attempts"] as { reserved_nanos: string; duration_ms: number; started_ms: number }[];
  expect(BigInt(second!.reserved_nanos)).toBeGreaterThanOrEqual(1_020_000n);
  expect(body["duration_ms"]).toBe(second!.started_ms + second!.duration_ms);
});

test("names and audit entries stand in the story for people, and what a key may see is its own", async () => {
  const { key, id: keyId, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  const organization = uuidOf("organization", organizationId)!;
  const id = await chat(key, "priced");
  await waitFor(async () => (await get(`/v1/requests/${id}`, key)).status === 200);
  await scene.owner.db
    .insertInto("api_keys")
    .values({
      id: uuidOf("key", keyId)!,
      organization_id: organization,
      owner_kind: "organization",
      owner_user_id: null,
      name: "nightly batch",
      kind: "sk",
      environment: "live",
      models: null,
      ip_allow: null,
      expires_at: null,
      created_by: null,
      revoked_at: null,
      rev: 1n,
      concurrency: null,
      quota_limit: null,
      quota_refill: null,
    })
    .execute();
  await openAuditWriter({ clock: systemClock, macKey: "k".repeat(32) }).write(scene.owner.db, {
    action: "budget.frozen",
    outcome: "success",
    organizationId: organizationId as `org_${string}`,
    actor: { kind: "system", id: "overrun" },
    targets: [],
    context: { request_id: id },
    details: { reason: "overrun" },
  });
  const person = scene.issuer.token(
    { ...scene.issuer.person(), organizationId: organizationId as `org_${string}` },
    "puaboai-sdk",
  );
  for (const bearer of [person, admin]) {
    expect((await get(`/v1/requests/${id}`, bearer)).body).toMatchObject({
      key_name: "nightly batch",
      audit_entries: [{ action: "budget.frozen", actor: { kind: "system" } }],
    });
  }
  expect((await get(`/v1/requests/${id}`, key)).body).toMatchObject({ key_name: null, user_name: null, audit_entries: [] });
  const other = await scene.issueKey();
  const stranger = scene.issuer.token(scene.issuer.person(), "puaboai-sdk");
  for (const bearer of [other.key, stranger]) {
    expect((await get(`/v1/requests/${id}`, bearer)).status).toBe(404);
    expect(await idsOf("/v1/requests", bearer)).toEqual([]);
    expect((await get(`/v1/requests?organization_id=${organizationId}`, bearer)).status).toBe(404);
  }
  for (const unknown of [newId("request"), "nonsense"]) expect((await get(`/v1/requests/${unknown}`, admin)).status).toBe(404);
});

test("the list is narrowed by each filter and read page by page", async () => {
  const { key, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  const plain = await chat(key, "priced");
  const inSession = await chat(key, "priced", { "x-nexus-session": "s1" });
  const failed = await chat(key, "down");
  const fallen = await chat(key, "smart");
  const list = (query: string) => idsOf(`/v1/requests?${query}`, key);
  expect((await list("limit=100")).toSorted()).toEqual([plain, inSession, failed, fallen].toSorted());
  expect(await list("session=s1")).toEqual([inSession]);
  expect(await list("outcome=error")).toEqual([failed]);
  expect((await list("provider=down")).toSorted()).toEqual([failed, fallen].toSorted());
  expect((await list("model=priced")).toSorted()).toEqual([plain, inSession, fallen].toSorted());
  expect(await list("model=smart")).toEqual([fallen]);
  expect((await list("min_cost_nanos=1020000")).toSorted()).toEqual([plain, inSession, fallen].toSorted());
  expect(await list("min_cost_nanos=1020001")).toEqual([]);
  expect(await list("min_cost_nanos=9999999999999999999")).toEqual([]);
  expect(await list("tag=batch")).toEqual([]);
  expect(await list(`user_id=${newId("user")}`)).toEqual([]);
  expect(await list("to=2026-01-01T00:00:00Z")).toEqual([]);
  const seen: string[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const { body } = await get(`/v1/requests?limit=1${cursor ? `&cursor=${cursor}` : ""}`, key);
    seen.push(...body.data.map(({ id }) => id));
    cursor = body["next_cursor"] as string | null;
  }
  expect(seen.toSorted()).toEqual([plain, inSession, failed, fallen].toSorted());
  expect((await idsOf(`/v1/requests?organization_id=${organizationId}`, admin)).toSorted()).toEqual(seen.toSorted());
  for (const wrong of ["outcome=nice", "limit=0", "from=yesterday", "min_cost_nanos=-1", "color=red", "cursor=x"])
    expect([wrong, (await get(`/v1/requests?${wrong}`, key)).status]).toEqual([wrong, 422]);
});

test("a tag of the key finds its requests", async () => {
  const { key } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  await scene.pvKeys.change(key, { tags: ["batch", "night"] });
  const found = await waitFor(async () => {
    const id = await chat(key, "priced");
    return (await idsOf("/v1/requests?tag=night", key)).includes(id) && id;
  });
  expect((await get(`/v1/requests/${found}`, key)).body).toMatchObject({ tags: ["batch", "night"] });
});

test("a row of long ago has its story too", async () => {
  const { key, id: keyId, organizationId } = await scene.issueKey();
  const requestId = newUuid();
  await scene.owner.db
    .insertInto("usage_events")
    .values({
      occurred_at: new Date(Date.now() - 3_600_000),
      request_id: requestId,
      attempt: 1,
      organization_id: uuidOf("organization", organizationId)!,
      key_id: uuidOf("key", keyId)!,
      user_id: null,
      endpoint: "chat.completions",
      model: "m",
      provider: "p",
      upstream_model: "u",
      stream: false,
      outcome: "crash",
      http_status: null,
      error_code: null,
      input_tokens: 1n,
      output_tokens: 1n,
      usage_source: "bound",
      cost_nanos: 5n,
      duration_ms: 1,
      first_byte_ms: null,
      client_request_id: null,
      trace_id: null,
      session: null,
    })
    .execute();
  expect((await get(`/v1/requests/${toId("request", requestId)}`, key)).body).toMatchObject({
    outcome: "crash",
    requested_model: null,
    attempts: [{ requested_model: null, failure: null, upstream_status: null, budgets: [], price: null }],
  });
});
