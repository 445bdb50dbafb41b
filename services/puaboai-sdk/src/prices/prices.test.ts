/** Prices that change while two gateways run on one database: who sets them, when they hold, and whom they are charged. */
import { newUuid, uuidOf } from "@nexus/core";
import {
  chatAnswer,
  embeddingAnswer,
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let other: RunningService;
let admin: string;
let key: string;

const tokens = "unit: usd_per_million_tokens";
const limits = "provider: fake, kind: chat, context_tokens: 8000, max_output_tokens: 1000";

async function startGateway(yaml: string, spool: string): Promise<RunningService> {
  return await startTestGateway(scene, { yaml, variables: { NEXUS_SPOOL_DIR: `${scene.directory}/${spool}` } });
}

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  provider.answerWith(chatAnswer({ usage: { prompt_tokens: 1000, completion_tokens: 100 } }));
  const price = (input: string) => `{ ${tokens}, input: "${input}", output: "10", source: test, effective: 2026-01-01 }`;
  const yaml = `
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true }
  counting: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
models:
  - { id: a, ${limits}, price: ${price("1")} }
  - { id: b, ${limits}, price: ${price("1")} }
  - { id: c, ${limits}, price: ${price("1")} }
  - { id: dated, ${limits}, price: ${price("1")} }
  - { id: unpriced, ${limits}, price: unknown }
  - { id: counted, provider: counting, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: unknown }
  - { id: vectors, provider: fake, kind: embeddings, context_tokens: 8000, price: ${price("1")} }
prices:
  - { model: dated, from: 2099-01-01, price: ${price("9")} }
  - { model: dated, from: 2026-01-02T00:00:00Z, price: ${price("3")} }
`;
  [gateway, other] = await Promise.all([startGateway(yaml, "one"), startGateway(yaml, "two")]);
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
  key = (await scene.issueKey({ budgetNanos: 10n ** 10n })).key;
});
afterAll(async () => {
  await Promise.all([gateway.close(), other.close()]);
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
const set = (model: string, price: unknown, more: object = {}) => ask("POST", "/v1/admin/prices", { model, price, ...more });
const dollars = (input: string) => ({ unit: "usd_per_million_tokens", input, output: "10", source: "a contract" });

function chat(model: string, { at = gateway, bearer = key } = {}): Promise<Response> {
  return post(`${at.url}/v1/chat/completions`, bearer, {
    model,
    max_tokens: 200,
    messages: [{ role: "user", content: "hello" }],
  });
}
/** Nano-dollars of one call: 1,000 tokens in, 100 out at 10 dollars. */
async function costOf(model: string, at = gateway): Promise<string | null> {
  const answer = await chat(model, { at });
  await answer.text();
  return answer.headers.get("x-nexus-cost-nanos");
}
const costAt = (dollarsIn: number) => String(1_000_000 * dollarsIn + 1_000_000);

test("a price that an administrator sets is charged by every gateway, stamped on the row and written to the audit log", async () => {
  expect(await costOf("a")).toBe(costAt(1));
  const made = await set("a", dollars("2.5"), { note: "new contract" });
  expect(made).toMatchObject({
    status: 201,
    body: { id: expect.stringMatching(/^prc_/), model: "a", state: "in_force", note: "new contract" },
  });
  // Whoever set it sees it at once; the others within the bound of the change feed.
  expect(await costOf("a")).toBe(costAt(2.5));
  const since = performance.now();
  await waitFor(async () => (await costOf("a", other)) === costAt(2.5));
  expect(performance.now() - since).toBeLessThan(5000);
  await costOf("a");
  const usage = await ask("GET", "/v1/usage?model=a&limit=1");
  expect(usage.body.data[0]?.["price"]).toMatchObject({ input: "2500000000", source: "a contract" });
  const entry = await scene.owner.db
    .selectFrom("audit_log")
    .selectAll()
    .where("action", "=", "price.set")
    .executeTakeFirstOrThrow();
  expect(JSON.stringify(entry.details)).toContain('\\"input\\":\\"2.5\\"');
  expect((await ask("GET", "/v1/models/a", undefined, key)).body["price"]).toMatchObject({ input: "2500000000" });
});

test("a later price of the file or of the API holds from its moment on, and not before", async () => {
  // The one of 2026 has come, the one of 2099 has not.
  expect(await costOf("dated")).toBe(costAt(3));
  const from = new Date(Date.now() + 1500).toISOString();
  const made = await set("b", dollars("4"), { from });
  expect(made.body).toMatchObject({ state: "to_come", from });
  expect(await costOf("b")).toBe(costAt(1));
  await waitFor(async () => (await costOf("b")) === costAt(4));
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(from));
  await waitFor(async () => (await costOf("b", other)) === costAt(4));
  const listed = await ask("GET", "/v1/admin/prices?model=b");
  expect(listed.body.data).toMatchObject([{ state: "in_force" }]);
  expect((await ask("DELETE", `/v1/admin/prices/${String(made.body["id"])}`)).status).toBe(409);
});

test("a price whose moment has not come can be taken back", async () => {
  const made = await set("c", "free", { from: "2098-01-01T00:00:00Z" });
  const path = `/v1/admin/prices/${String(made.body["id"])}`;
  expect((await ask("DELETE", path)).status).toBe(204);
  expect((await ask("DELETE", path)).status).toBe(404);
  expect((await ask("GET", "/v1/admin/prices?model=c")).body.data).toMatchObject([{ state: "withdrawn" }]);
});

test("a model without a price is refused where a hard budget would pay, until an administrator prices it", async () => {
  const refused = await chat("unpriced");
  expect([refused.status, refused.headers.get("x-nexus-cost-nanos")]).toEqual([402, null]);
  expect(await refused.json()).toMatchObject({ error: { code: "price_unknown" } });
  expect((await ask("GET", "/v1/models/unpriced", undefined, key)).body["price"]).toBe("unknown");

  // A budget alone would not help either.
  const unpaid = await chat("unpriced", { bearer: (await scene.issueKey()).key });
  expect(unpaid.status).toBe(402);
  expect(await unpaid.json()).toMatchObject({ error: { code: "price_unknown", message: expect.stringContaining("unpriced") } });

  const soft = await scene.issueKey();
  const organizationId = uuidOf("organization", soft.organizationId)!;
  const budget = { id: newUuid(), organization_id: organizationId, level: "organization", limit_nanos: 1n } as const;
  await scene.owner.db
    .insertInto("budgets")
    .values({ ...budget, enforcement: "soft" })
    .execute();
  const served = await chat("unpriced", { bearer: soft.key });
  expect(served.status).toBe(200);
  await served.text();
  const rows = await ask("GET", `/v1/usage?key_id=${soft.id}`, undefined, soft.key);
  expect(rows.body.data).toMatchObject([{ price: { unknown: true }, cost_nanos: "0", input_tokens: 1000 }]);

  await set("unpriced", dollars("1"));
  expect(await costOf("unpriced")).toBe(costAt(1));
  // And nothing is left set aside of the refusal.
  const { rows: granted } = await sql<{ over: bigint }>`
    SELECT count(*) AS over FROM budget_accounts a JOIN budgets b ON b.id = a.budget_id
    WHERE a.settled_nanos + a.granted_nanos > b.limit_nanos AND b.enforcement = 'hard'`.execute(scene.owner.db);
  expect(Number(granted[0]?.over)).toBe(0);
});

test("tokens of a model without a price may be counted: that costs nothing", async () => {
  provider.answerWith(
    (response) => void response.writeHead(200, { "content-type": "application/json" }).end('{"input_tokens":3}'),
  );
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: "counted", messages: [{ role: "user", content: "hello" }] });
  const answer = await fetch(`${gateway.url}/v1/messages/count_tokens`, { method: "POST", headers, body });
  expect([answer.status, await answer.json()]).toEqual([200, { input_tokens: 3 }]);
  provider.answerWith(chatAnswer({ usage: { prompt_tokens: 1000, completion_tokens: 100 } }));
});

test("a call is charged what held when it began, whatever holds when it ends", async () => {
  let end = (): void => {};
  const held = new Promise<void>((resolve) => (end = resolve));
  const usual = chatAnswer({ usage: { prompt_tokens: 1000, completion_tokens: 100 } });
  provider.answerWith(async (response, request) => {
    await held;
    await usual(response, request);
  });
  const received = provider.received.length;
  const running = chat("c");
  await waitFor(() => provider.received.length > received);
  await set("c", dollars("7"));
  end();
  const answer = await running;
  await answer.text();
  expect(answer.headers.get("x-nexus-cost-nanos")).toBe(costAt(1));
  provider.answerWith(usual);
  expect(await costOf("c")).toBe(costAt(7));
});

test.each([
  ["an unknown model", { model: "nobody", price: "free" }, "/model"],
  ["an embedded model", { model: "embedded-guide", price: "free" }, "/model"],
  ["a moment that is past", { model: "a", price: "free", from: "2020-01-01T00:00:00Z" }, "/from"],
  ["no output", { model: "a", price: { unit: "usd_per_million_tokens", input: "1", source: "s" } }, "/price/output"],
  ["an unbounded cache", { model: "a", price: { ...dollars("1"), cached_input: "2" } }, "/price/cached_input"],
  [
    "lower tiers",
    { model: "a", price: { ...dollars("1"), tiers: [{ above: 5, input: "0.5", output: "10" }] } },
    "/price/tiers/0/above",
  ],
  ["a number for an amount", { model: "a", price: { ...dollars("1"), input: 1 } }, "/price"],
  ["an unknown field", { model: "a", price: { ...dollars("1"), colour: "red" } }, "/price"],
])("%s is refused and changes nothing", async (_, body, pointer) => {
  const before = await costOf("a");
  const answer = await ask("POST", "/v1/admin/prices", body);
  expect(answer.status).toBe(422);
  expect(answer.body.errors.some((error) => error.pointer.startsWith(pointer))).toBe(true);
  expect(await costOf("a")).toBe(before);
});

test.each([
  ["/v1/chat/completions", { service_tier: "priority" }, "/service_tier"],
  ["/v1/chat/completions", { models: ["a", "dearer"] }, "/models"],
  ["/v1/chat/completions", { search_parameters: { mode: "on" } }, "/search_parameters"],
  ["/v1/chat/completions", { tools: [{ type: "function", function: { name: "f" } }, { type: "browser_search" }] }, "/tools"],
  ["/v1/responses", { service_tier: "fast" }, "/service_tier"],
  ["/v1/responses", { plugins: [{ id: "web" }] }, "/plugins"],
  ["/v1/messages", { speed: "fast" }, "/speed"],
  ["/v1/messages", { inference_geo: "us" }, "/inference_geo"],
])("%s with %j would be billed at another price, and is refused", async (path, more, pointer) => {
  const usual = path === "/v1/responses" ? { input: "hello" } : { messages: [{ role: "user", content: "hello" }] };
  const ask = async (body: object) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(gateway.url + path, {
      method: "POST",
      headers,
      body: JSON.stringify({ ...usual, max_tokens: 200, ...body }),
    });
    return { status: answer.status, text: await answer.text() };
  };
  const refused = await ask({ model: "a", ...more });
  expect(refused.status).toBe(422);
  expect(refused.text).toContain(pointer.slice(1));
  const spoken = { service_tier: "auto", ...(path === "/v1/messages" ? { speed: "standard" } : {}) };
  expect((await ask({ model: "a", ...spoken })).status).toBe(200);
});

test("embeddings of images are refused where they have a price: no budget bounds them", async () => {
  provider.answerWith(embeddingAnswer());
  const ask = async (input: unknown) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const body = JSON.stringify({ model: "vectors", input });
    const answer = await fetch(`${gateway.url}/v1/embeddings`, { method: "POST", headers, body });
    return { status: answer.status, text: await answer.text() };
  };
  expect((await ask(["an image_url"])).status).toBe(200);
  const refused = await ask([{ image_url: { url: "https://example.com/cat.png" } }]);
  expect([refused.status, refused.text]).toEqual([422, expect.stringContaining("holds images or sound")]);
});

test("only administrators see and set prices", async () => {
  const person = scene.issuer.token(scene.issuer.person(), "puaboai-sdk");
  for (const bearer of [key, person]) {
    expect((await ask("GET", "/v1/admin/prices", undefined, bearer)).status).toBe(403);
    expect((await ask("POST", "/v1/admin/prices", { model: "a", price: "free" }, bearer)).status).toBe(403);
    expect((await ask("DELETE", "/v1/admin/prices/prc_x", undefined, bearer)).status).toBe(403);
  }
  expect((await ask("GET", "/v1/admin/prices", undefined, "nobody")).status).toBe(401);
});
