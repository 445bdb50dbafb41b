import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadConfig } from "@nexus/config";
import { newId, uuidOf } from "@nexus/core";
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
const hook = { status: 500, received: [] as { headers: Record<string, unknown>; body: string }[] };
const hookSecret = "a-secret-of-24-bytes-or-more";
const hookServer = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    hook.received.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(hook.status).end();
  });
});

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  await new Promise<void>((resolve) => void hookServer.listen(0, "127.0.0.1", resolve));
  const yaml = `
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true }
models:
  - id: priced
    provider: fake
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }
routes:
  cheapest: { targets: [priced] }
`;
  const env = {
    ...scene.environment,
    PORT: "1",
    NEXUS_GATEWAY_CONFIG: scene.writeSettings(yaml),
    NEXUS_BUDGET_WEBHOOK_URL: `http://127.0.0.1:${(hookServer.address() as AddressInfo).port}/alerts`,
    NEXUS_BUDGET_WEBHOOK_SECRET: hookSecret,
  };
  const config = { ...loadConfig(configSchema, env, configRules), PORT: 0 };
  const logger = createLogger({ service: "puaboai-sdk", level: "debug", destination: captureLogs().stream });
  gateway = await startService(config, { logger });
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
});
afterAll(async () => {
  await gateway.close();
  hookServer.close();
  await provider.close();
  await scene.close();
});

interface Answer {
  status: number;
  body: Record<string, unknown> & { data: Record<string, unknown>[]; errors: { pointer: string; detail: string }[] };
}
async function ask(method: string, path: string, body?: unknown, bearer = admin): Promise<Answer> {
  const answer = await fetch(gateway.url + path, {
    method,
    headers: { authorization: `Bearer ${bearer}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: (text ? JSON.parse(text) : {}) as Answer["body"] };
}
function chat(bearer: string, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ model: "priced", max_tokens: 5, messages: [{ role: "user", content: "one two" }] });
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json", ...headers },
    body,
  });
}
/** 1,000 + 20 micro-dollars a call. */
const used = { prompt_tokens: 1000, completion_tokens: 2 };
const cost = 1_020_000n;
const answersAs = () => provider.answerWith(chatAnswer({ usage: used }));

test("a budget of each session is made, charged and refused by its name, and its accounts are shown", async () => {
  answersAs();
  const { key, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  const made = await ask("POST", "/v1/admin/budgets", {
    organization_id: organizationId,
    level: "session",
    subject: "*",
    limit_nanos: "2000000",
  });
  expect(made).toMatchObject({
    status: 201,
    body: {
      level: "session",
      subject: "*",
      period: "total",
      enforcement: "hard",
      limit_nanos: "2000000",
      alert_percents: [50, 80, 100],
    },
  });
  const first = await chat(key, { "x-nexus-session": "run-1" });
  expect(first.status).toBe(200);
  const { id } = made.body as unknown as { id: string };
  await waitFor(async () => {
    const { body } = await ask("GET", `/v1/admin/budgets/${id}/accounts`);
    return body.data[0]?.["settled_nanos"] === cost.toString();
  });
  const refused = await chat(key, { "x-nexus-session": "run-1" });
  expect(refused.status).toBe(402);
  expect(await refused.json()).toMatchObject({
    error: { code: "budget_exceeded", budget_id: id, level: "session", subject: "run-1", settled_nanos: cost.toString() },
  });
  expect((await chat(key, { "x-nexus-session": "run-2" })).status).toBe(200);
  expect((await chat(key)).status).toBe(200);
  const row = await scene.owner.db
    .selectFrom("usage_events")
    .select(["session", "account_ids", "budget_decision"])
    .where("request_id", "=", uuidOf("request", first.headers.get("x-request-id")!)!)
    .executeTakeFirstOrThrow();
  expect(row).toMatchObject({ session: "run-1", account_ids: [expect.any(String), expect.any(String)] });
  expect(row.budget_decision).toMatchObject(row.account_ids.map((account) => ({ account_id: account, settled_nanos: "0" })));
});

test("a session that is no name is refused", async () => {
  const { key } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  for (const name of ["a b", "*", "x".repeat(129)]) expect((await chat(key, { "x-nexus-session": name })).status).toBe(422);
});

test("a limit is changed while blocks are held, an overrun is released, and a budget is taken away; each with its entry", async () => {
  answersAs();
  const { key, id: keyId, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  const made = await ask("POST", "/v1/admin/budgets", {
    organization_id: organizationId,
    level: "key",
    subject: keyId,
    period: "month",
    limit_nanos: "1",
  });
  const path = `/v1/admin/budgets/${made.body["id"] as string}`;
  expect((await chat(key)).status).toBe(402);
  expect(await ask("PUT", path, { limit_nanos: "10000000000", alert_percents: [1] })).toMatchObject({
    status: 200,
    body: { limit_nanos: "10000000000", alert_percents: [1], resets_at: expect.stringMatching(/-01T00:00:00\.000Z$/) },
  });
  expect((await chat(key)).status).toBe(200);
  provider.answerWith(chatAnswer({ usage: { prompt_tokens: 10, completion_tokens: 900_000 } }));
  expect((await chat(key)).status).toBe(200);
  answersAs();
  await waitFor(async () => (await ask("GET", path)).body["frozen_at"] !== null);
  await waitFor(async () => (await chat(key)).status === 402);
  // The organization's budget is frozen with it.
  const { body } = await ask("GET", `/v1/admin/budgets?organization_id=${organizationId}`);
  for (const frozen of body.data)
    expect(await ask("POST", `/v1/admin/budgets/${frozen["id"] as string}/release`)).toMatchObject({
      status: 200,
      body: { frozen_at: null },
    });
  await ask("PUT", path, { limit_nanos: "0" });
  expect((await chat(key)).status).toBe(402);
  expect((await ask("DELETE", path)).status).toBe(204);
  expect((await ask("DELETE", path)).status).toBe(404);
  expect((await chat(key)).status).toBe(200);
  const entries = await scene.owner.db
    .selectFrom("audit_log")
    .select(["action"])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .where("action", "like", "budget.%")
    .orderBy("writer_seq")
    .execute();
  expect(entries.map(({ action }) => action)).toEqual([
    "budget.created",
    "budget.updated",
    "budget.frozen",
    "budget.frozen",
    "budget.released",
    "budget.released",
    "budget.updated",
    "budget.deleted",
  ]);
});

test("credit is spent to its end, counts once for each reference, and no more is taken back than is left", async () => {
  answersAs();
  const { key, organizationId } = await scene.issueKey();
  expect((await chat(key)).status).toBe(402);
  const path = `/v1/admin/credit/${organizationId}`;
  const bought = { amount_nanos: "20000000", reference: "invoice-1", note: "November" };
  expect(await ask("POST", path, bought)).toMatchObject({
    status: 200,
    body: { budget: { level: "credit", limit_nanos: "20000000" } },
  });
  expect(await ask("POST", path, bought)).toMatchObject({ status: 200, body: { budget: { limit_nanos: "20000000" } } });
  expect((await ask("POST", path, { ...bought, amount_nanos: "1" })).status).toBe(409);
  expect((await chat(key)).status).toBe(200);
  const budget = `/v1/admin/budgets?organization_id=${organizationId}`;
  await waitFor(async () => {
    const [{ settled_nanos: settled, granted_nanos: granted } = {}] = (await ask("GET", budget)).body.data;
    return settled === cost.toString() && granted === "0";
  });
  expect((await ask("POST", path, { amount_nanos: "-19000000", reference: "back-1" })).status).toBe(409);
  expect((await ask("POST", path, { amount_nanos: `-${20_000_000n - cost}`, reference: "back-1" })).status).toBe(200);
  expect((await chat(key)).status).toBe(402);
  const entries = (await ask("GET", `${path}?limit=1`)).body;
  expect(entries).toMatchObject({ data: [{ reference: "back-1" }], has_more: true });
  expect(
    (await ask("PUT", `/v1/admin/budgets/${(await ask("GET", budget)).body.data[0]!["id"] as string}`, { limit_nanos: "5" }))
      .status,
  ).toBe(409);
});

test("the webhook is told of each share, signed, again until it takes it; and the client is warned", async () => {
  answersAs();
  hook.received.length = 0;
  const { key, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  await ask("POST", "/v1/admin/budgets", {
    organization_id: organizationId,
    level: "organization",
    period: "day",
    limit_nanos: (cost + 1n).toString(),
    enforcement: "soft",
    alert_percents: [50, 90],
  });
  expect((await chat(key)).headers.get("x-nexus-budget-warning")).toBeNull();
  await waitFor(() => hook.received.filter(({ body }) => body.includes(organizationId)).length >= 2, { timeoutMs: 15_000 });
  hook.status = 204;
  await scene.owner.db
    .updateTable("budget_alerts")
    .set({ next_attempt_at: new Date(0) })
    .execute();
  const open = () => scene.owner.db.selectFrom("budget_alerts").selectAll().where("delivered_at", "is", null).execute();
  await waitFor(async () => (await open()).length === 0, { timeoutMs: 15_000 });
  const { headers, body } = hook.received.findLast(({ body: sent }) => sent.includes(organizationId))!;
  const signed = `${headers["webhook-id"] as string}.${headers["webhook-timestamp"] as string}.${body}`;
  expect(headers["webhook-signature"]).toBe(`v1,${createHmac("sha256", hookSecret).update(signed).digest("base64")}`);
  expect(JSON.parse(body)).toMatchObject({
    type: "budget.share_reached",
    data: {
      organization_id: organizationId,
      level: "organization",
      period: "day",
      enforcement: "soft",
      settled_nanos: cost.toString(),
    },
  });
  const told = hook.received.map(
    ({ body: sent }) => (JSON.parse(sent) as { data: { organization_id: string; percent: number } }).data,
  );
  const ofThis = told.filter(({ organization_id: organization }) => organization === organizationId);
  expect(new Set(ofThis.map(({ percent }) => percent))).toEqual(new Set([50, 90]));
  expect((await chat(key)).headers.get("x-nexus-budget-warning")).toBe("level=organization; period=day; spent_percent=99");
});

test("a key sees the budgets that it is charged to, a person their organization's", async () => {
  const { key, id, organizationId } = await scene.issueKey({ budgetNanos: 5n, scopes: ["ai:chat", "usage:read"] });
  const make = (body: object) => ask("POST", "/v1/admin/budgets", { organization_id: organizationId, limit_nanos: "7", ...body });
  await make({ level: "key", subject: id });
  await make({ level: "key", subject: newId("key") });
  await make({ level: "tag", subject: "batch" });
  await make({ level: "model", subject: "priced" });
  await make({ level: "pool", subject: "research" });
  const levels = (answer: Answer) => answer.body.data.map(({ level }) => level as string).toSorted();
  expect(levels(await ask("GET", "/v1/budgets", undefined, key))).toEqual(["key", "model", "organization"]);
  const person = scene.issuer.token(
    { ...scene.issuer.person(), organizationId: organizationId as `org_${string}` },
    "puaboai-sdk",
  );
  expect(levels(await ask("GET", "/v1/budgets", undefined, person))).toHaveLength(6);
  expect((await ask("GET", "/v1/admin/budgets", undefined, person)).status).toBe(403);
});

test.each([
  [{ level: "organization", subject: "x" }, "/subject"],
  [{ level: "user" }, "/subject"],
  [{ level: "user", subject: newId("key") }, "/subject"],
  [{ level: "pool", subject: "*" }, "/subject"],
  [{ level: "session", subject: "*", period: "day" }, "/period"],
  [{ level: "organization", limit_nanos: "9999999999999999999" }, "/limit_nanos"],
  [{ level: "organization", limit_nanos: "-1" }, "/limit_nanos"],
  [{ level: "organization", alert_percents: [0] }, "/alert_percents/0"],
  [{ level: "credit" }, "/level"],
  [{ level: "model", subject: "prized" }, "/subject"],
])("a budget of %j is refused by its field", async (body, pointer) => {
  const { organizationId } = await scene.issueKey();
  const answer = await ask("POST", "/v1/admin/budgets", { organization_id: organizationId, limit_nanos: "1", ...body });
  expect([answer.status, answer.body.errors[0]?.pointer]).toEqual([422, pointer]);
});

test("a budget of a name that no model has is told the nearest, one of a route what it stands for; * is every model", async () => {
  const { organizationId } = await scene.issueKey();
  const make = (subject: string) =>
    ask("POST", "/v1/admin/budgets", { organization_id: organizationId, level: "model", limit_nanos: "1", subject });
  const told = async (subject: string) => (await make(subject)).body.errors[0]?.detail;
  expect(await told("prized")).toBe("is no model of this gateway; the nearest is priced");
  expect(await told("cheapest")).toBe("is a route and no model; it stands for priced");
  expect((await make("*")).status).toBe(201);
});

test("a second budget for the same subject and period conflicts, and an unknown organization is not found", async () => {
  const { organizationId } = await scene.issueKey();
  const body = { organization_id: organizationId, level: "tag", subject: "batch", limit_nanos: "1" };
  expect((await ask("POST", "/v1/admin/budgets", body)).status).toBe(201);
  expect((await ask("POST", "/v1/admin/budgets", body)).status).toBe(409);
  expect((await ask("POST", "/v1/admin/budgets", { ...body, period: "week" })).status).toBe(201);
  expect((await ask("POST", "/v1/admin/budgets", { ...body, organization_id: newId("organization") })).status).toBe(404);
});

test.each([
  ["/v1/admin/budgets/bud_nonsense", "There is no such budget."],
  [`/v1/admin/budgets/${newId("budget")}`, "There is no such budget."],
  [`/v1/admin/budgets/${newId("organization")}`, "The organization has no budget in total."],
  ["/v1/admin/credit/nonsense", "There is no such organization."],
  ["/v1/admin/models/nope", "There is no model of this name."],
  ["/v1/admin/providers/no%20pe", "This can be no name."],
  ["/v1/admin/content-log/nonsense", "There is no such organization."],
  [`/v1/requests/${newId("request")}`, "There is no such request, or it is another's."],
  ["/v1/requests?key_id=nonsense", "There is no such key, or it is another's."],
])("what is not there is told in words: %s", async (path, detail) => {
  expect(await ask("GET", path)).toMatchObject({ status: 404, body: { code: "not_found", detail } });
});

test("what a key names and nobody checked is told at its calls: a budget as 402 with its id, a model as 404", async () => {
  answersAs();
  const { organizationId } = await scene.issueKey({ budgetNanos: 10n ** 10n });
  const gone = newId("budget");
  const charged = scene.pvKeys.issue({ organization_id: organizationId, budget_ids: [gone] });
  const refused = await chat(charged.key);
  expect(refused.status).toBe(402);
  expect(await refused.json()).toMatchObject({
    error: { code: "budget_exceeded", budget_id: gone, level: null, message: expect.stringContaining("is not there. Change") },
  });
  const bound = scene.pvKeys.issue({ organization_id: organizationId, models: ["pricd"] });
  const unknown = await chat(bound.key);
  expect(unknown.status).toBe(404);
  expect(await unknown.json()).toMatchObject({ error: { code: "model_not_found" } });
  expect(await ask("GET", "/v1/models", undefined, bound.key)).toMatchObject({ status: 200, body: { data: [] } });
});

test("a budget of a person alone lets nobody spend: the organization wants one of its own, or credit", async () => {
  const { key, organizationId } = await scene.issueKey();
  const body = { organization_id: organizationId, level: "user", subject: "*", period: "month", limit_nanos: "10000000000" };
  expect((await ask("POST", "/v1/admin/budgets", body)).status).toBe(201);
  const refused = await chat(key);
  expect(refused.status).toBe(402);
  expect(await refused.json()).toMatchObject({ error: { code: "budget_exceeded", budget_id: null } });
});
