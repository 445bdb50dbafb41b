import { uuidOf } from "@nexus/core";
import {
  captureLogs,
  chatAnswer,
  chatStream,
  embeddingAnswer,
  type FakeUpstream,
  type GatewayScene,
  htmlError,
  openGatewayScene,
  silence,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "./service.ts";
import { rowOf, startTestGateway } from "./start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let key: { key: string; id: string; organizationId: string };
const logs = captureLogs();
const providerSecret = "provider-secret-0123456789";

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const yaml = `
providers:
  fake:
    base_url: ${provider.baseUrl}
    allow_private_network: true
    api_key_env: FAKE_KEY
    first_byte_timeout_ms: 400
    idle_timeout_ms: 400
  down: { base_url: "http://127.0.0.1:1/v1", allow_private_network: true }
models:
  - { id: free, provider: fake, upstream_model: fake-model, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
  - { id: same-name, provider: fake, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
  - { id: down, provider: down, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
  - { id: embed, provider: fake, kind: embeddings, context_tokens: 8000, price: free }
  - id: priced
    provider: fake
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }
`;
  gateway = await startTestGateway(scene, { yaml, secrets: { FAKE_KEY: providerSecret }, logs });
  key = await scene.issueKey();
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
});

const messages = [{ role: "user", content: "one two" }];

function call(path: string, body: unknown, bearer: string | undefined = key.key, init: RequestInit = {}): Promise<Response> {
  const headers = {
    "content-type": "application/json",
    ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
    ...(init.headers as object),
  };
  return fetch(gateway.url + path, {
    method: "POST",
    ...init,
    headers,
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}
const chat = (body: object, bearer?: string, init?: RequestInit) =>
  call("/v1/chat/completions", { messages, ...body }, bearer, init);
const get = (path: string, bearer: string = key.key) =>
  fetch(gateway.url + path, { headers: { authorization: `Bearer ${bearer}` } });

const budgetOf = (organizationId: string) =>
  scene.owner.db
    .selectFrom("budgets")
    .leftJoin("budget_accounts", "budget_accounts.budget_id", "budgets.id")
    .select([
      "limit_nanos",
      sql<bigint>`coalesce(settled_nanos, 0)`.as("settled_nanos"),
      sql<bigint>`coalesce(granted_nanos, 0)`.as("granted_nanos"),
    ])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .executeTakeFirstOrThrow();
const errorOf = async (answer: Response) => ((await answer.json()) as { error: Record<string, unknown> }).error;

test.each([
  { web_search_options: {} },
  { best_of: 2 },
  { prediction: { type: "content", content: "x" } },
  { service_tier: "priority" },
])("what no budget can bound is refused where a model has a price, and goes on where it has none: %j", async (extra) => {
  const { key: paying } = await scene.issueKey({ budgetNanos: 1_000_000_000n });
  const refused = await call("/v1/chat/completions", { model: "priced", messages, ...extra }, paying);
  expect(refused.status).toBe(422);
  expect(await refused.json()).toMatchObject({ error: { param: Object.keys(extra)[0] } });
  expect(provider.received).toEqual([]);
  expect((await call("/v1/chat/completions", { model: "free", messages, ...extra })).status).toBe(200);
  expect((await call("/v1/chat/completions", { model: "priced", messages, service_tier: "flex" }, paying)).status).toBe(200);
});

test("a request reaches the provider byte for byte but for the model, and its answer comes back so", async () => {
  const unknown = Array.from({ length: 40 }, (_, i) => `"x_${i}" :\t[ ${i}.0e0 , "\\u00e9\u00e9", {"a":1,"a":2} ]`).join(" ,\n");
  const request = `{ "messages":[],  "model": "free", ${unknown} }`;
  const answerBody = `{ "id":"1", "usage":{"prompt_tokens":3,"completion_tokens":4}, ${unknown} }`;
  provider.answerWith(chatAnswer({ body: answerBody }));
  const answer = await call("/v1/chat/completions", request);
  expect(answer.status).toBe(200);
  expect(await answer.text()).toBe(answerBody);
  expect(provider.received[0]!.body.toString()).toBe(request.replace('"free"', '"fake-model"'));
  expect(provider.received[0]!.headers.authorization).toBe(`Bearer ${providerSecret}`);
  expect(provider.received[0]!.headers["x-request-id"]).toBe(answer.headers.get("x-request-id"));
  await call("/v1/chat/completions", request.replace('"free"', '"same-name"'));
  expect(provider.received[1]!.body.toString()).toBe(request.replace('"free"', '"same-name"'));
  expect(await rowOf(scene, answer)).toMatchObject({
    model: "free",
    provider: "fake",
    upstream_model: "fake-model",
    outcome: "ok",
    http_status: 200,
    input_tokens: 3n,
    output_tokens: 4n,
    usage_source: "provider",
    cost_nanos: 0n,
    account_ids: [],
    key_id: uuidOf("key", key.id),
    stream: false,
  });
});

test("a stream goes through frame by frame, and the usage frame only when it was asked for", async () => {
  provider.answerWith(chatStream());
  const plain = await chat({ model: "free", stream: true }).then(async (answer) => ({ answer, text: await answer.text() }));
  expect(plain.answer.headers.get("content-type")).toContain("text/event-stream");
  expect(plain.text).toContain('"content":"hel"');
  expect(plain.text.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(plain.text).not.toContain("prompt_tokens");
  expect(provider.received[0]!.body.toString()).toContain('"stream_options":{"include_usage":true}');
  expect(await rowOf(scene, plain.answer)).toMatchObject({
    stream: true,
    outcome: "ok",
    input_tokens: 11n,
    output_tokens: 7n,
    usage_source: "provider",
  });
  const asked = await chat({ model: "free", stream: true, stream_options: { include_usage: true } });
  expect(await asked.text()).toContain('"prompt_tokens":11');
});

test("each frame reaches the client before the next one is sent", async () => {
  const gate = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  provider.answerWith(async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"cho');
    await gate[0]!.promise;
    response.write('ices":[{"delta":{"content":"b"}}]}\n\n');
    await gate[1]!.promise;
    response.end("data: [DONE]\n\n");
  });
  const answer = await chat({ model: "free", stream: true });
  const reader = answer.body!.getReader();
  const next = async () => Buffer.from((await reader.read()).value ?? []).toString();
  expect(await next()).toBe('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
  gate[0]!.resolve();
  expect(await next()).toBe('data: {"choices":[{"delta":{"content":"b"}}]}\n\n');
  gate[1]!.resolve();
  expect(await next()).toBe("data: [DONE]\n\n");
});

test("a client that goes away ends the provider's work within 100 ms, and the call has its row", async () => {
  provider.answerWith(chatStream({ texts: Array.from({ length: 500 }, () => "token"), delayMs: 10 }));
  const abort = new AbortController();
  const answer = await chat({ model: "free", stream: true }, key.key, { signal: abort.signal });
  await answer.body!.getReader().read();
  const at = performance.now();
  abort.abort();
  const closedAt = await waitFor(() => provider.received[0]!.abortedAt);
  expect(closedAt - at).toBeLessThan(100);
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "aborted", usage_source: "counted" });
  provider.answerWith(silence());
  const second = new AbortController();
  const pending = chat({ model: "free" }, key.key, { signal: second.signal });
  await waitFor(() => provider.received.length === 2);
  second.abort();
  await expect(pending).rejects.toThrow("abort");
  await waitFor(() => provider.received[1]!.abortedAt);
});

test("a provider that dies in the middle of a stream leaves whole frames, an error frame and a row", async () => {
  provider.answerWith(chatStream({ texts: ["a", "b", "c"], dieAfter: 2 }));
  const answer = await chat({ model: "free", stream: true });
  const frames = (await answer.text()).trimEnd().split("\n\n");
  expect(frames).toHaveLength(3);
  const last = JSON.parse(frames[2]!.slice("data: ".length)) as { error: object };
  expect(last.error).toMatchObject({
    code: "upstream_failed",
    type: "server_error",
    request_id: answer.headers.get("x-request-id"),
  });
  const row = await rowOf(scene, answer);
  expect(row).toMatchObject({ outcome: "error", error_code: "upstream_failed", usage_source: "counted" });
  expect(Number(row.output_tokens)).toBeGreaterThanOrEqual(2);
  expect(Number(row.output_tokens)).toBeLessThan(12);
});

test.each([
  ["one that is down", "down", chatAnswer(), 502],
  ["one that is silent", "free", silence(), 504],
  ["one that answers HTML", "free", htmlError(200), 502],
  ["one that fails with HTML", "free", htmlError(503), 502],
  [
    "one that refuses our key",
    "free",
    chatAnswer({ status: 401, body: '{"error":{"message":"Incorrect API key provided: provi***6789"}}' }),
    502,
  ],
] as const)(
  "a provider's trouble is told in the client's dialect without its details: %s",
  async (_name, model, script, status) => {
    const code = status === 504 ? "upstream_timeout" : "upstream_failed";
    provider.answerWith(script);
    for (const stream of [false, true]) {
      const answer = await chat({ model, stream });
      expect(answer.status).toBe(status);
      expect(await errorOf(answer)).toStrictEqual({
        message: expect.any(String),
        type: "server_error",
        param: null,
        code,
        request_id: answer.headers.get("x-request-id"),
      });
      expect(await rowOf(scene, answer)).toMatchObject({
        outcome: "error",
        http_status: status,
        error_code: code,
        cost_nanos: 0n,
      });
    }
  },
);

test("a provider's refusal of the request itself comes through as it is", async () => {
  const body =
    '{"error":{"message":"temperature must be below 2","type":"invalid_request_error","param":"temperature","code":null}}';
  provider.answerWith(chatAnswer({ status: 400, body }));
  const answer = await chat({ model: "free" });
  expect([answer.status, await answer.text()]).toStrictEqual([400, body]);
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "error", http_status: 400 });
});

test.each([
  ["malformed JSON", "{", 400, null],
  ["an empty body", "", 400, null],
  ["a body that is no object", "[]", 422, null],
  ["no model", "{}", 422, "model"],
  ["a wrong type", '{"model":"free","stream":"yes"}', 422, "stream"],
  ["an ambiguous model", '{"model":"free","MODEL":"priced"}', 422, "model"],
  ["an unknown model", '{"model":"nope"}', 404, "model"],
  ["a model of another kind", '{"model":"embed"}', 422, "model"],
  ["messages missing for an embedded model", '{"model":"embedded-echo"}', 422, "messages"],
] as const)("bad input is told in OpenAI's shape: %s", async (_name, body, status, param) => {
  const code = { 400: "malformed_json", 404: "model_not_found", 422: "invalid_request" }[status];
  const answer = await call("/v1/chat/completions", body);
  expect(answer.status).toBe(status);
  expect(await errorOf(answer)).toMatchObject({
    type: "invalid_request_error",
    code,
    param,
    request_id: answer.headers.get("x-request-id"),
  });
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "error", http_status: status, error_code: code });
});

test("too large, wrong media type, unknown route and wrong method are told apart", async () => {
  expect((await call("/v1/chat/completions", `{"model":"${"x".repeat(17 << 20)}"}`)).status).toBe(413);
  expect((await chat({ model: "free" }, key.key, { headers: { "content-type": "text/plain" } })).status).toBe(415);
  expect((await call("/v1/chats", {})).status).toBe(404);
  const wrong = await fetch(`${gateway.url}/v1/chat/completions`);
  expect(wrong.status).toBe(405);
  expect(wrong.headers.get("allow")).toContain("POST");
});

test("no credential, a bad one and a revoked one are 401 with a challenge; an unknown key while pv-keys is away is not", async () => {
  const revoked = await scene.issueKey();
  await scene.pvKeys.change(revoked.key, { state: "revoked" });
  const other = scene.issuer.token(scene.issuer.person(), "pv-keys");
  for (const bearer of ["", "pv_sk_live_nonsense", revoked.key, other, "x"]) {
    const answer = await chat(
      { model: "free" },
      bearer === "" ? undefined : bearer,
      bearer === "" ? { headers: { authorization: "" } } : {},
    );
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toContain("Bearer");
    expect(await errorOf(answer)).toMatchObject({ code: "unauthenticated", type: "authentication_error" });
  }
});

test("a key reaches only its models and scopes", async () => {
  const narrow = await scene.issueKey({ models: ["free"], scopes: ["ai:chat", "ai:models"] });
  expect((await chat({ model: "free" }, narrow.key)).status).toBe(200);
  expect((await chat({ model: "same-name" }, narrow.key)).status).toBe(404);
  expect((await call("/v1/embeddings", { model: "embed", input: "x" }, narrow.key)).status).toBe(403);
  expect((await get("/v1/usage", narrow.key)).status).toBe(403);
  const list = (await (await get("/v1/models", narrow.key)).json()) as { data: { id: string }[] };
  expect(list.data.map((model) => model.id)).toStrictEqual(["free"]);
  expect((await get("/v1/models/free", narrow.key)).status).toBe(200);
  const missing = await get("/v1/models/priced", narrow.key);
  expect([missing.status, (await errorOf(missing))["code"]]).toStrictEqual([404, "model_not_found"]);
  const nobodys = await chat({ model: `no"such\n${"x".repeat(150)}` }, narrow.key);
  expect((await errorOf(nobodys))["message"]).toBe(
    `There is no model "no_such_${"x".repeat(92)}…", or this key may not use it. GET /v1/models lists those that it may use.`,
  );
});

test("a person calls with a token for this service", async () => {
  const person = scene.issuer.person();
  const answer = await chat({ model: "embedded-echo" }, scene.issuer.token(person, "puaboai-sdk"));
  expect(answer.status).toBe(200);
  expect(await rowOf(scene, answer)).toMatchObject({ key_id: null, user_id: uuidOf("user", person.userId) });
});

test("the model list says what is a demo and what it costs", async () => {
  const { data } = (await (await get("/v1/models")).json()) as { data: Record<string, unknown>[] };
  expect(data.map((model) => model["id"])).toStrictEqual([
    "free",
    "same-name",
    "down",
    "embed",
    "priced",
    "embedded-guide",
    "embedded-echo",
    "use-lite-en-512",
    "embedded-moderation",
  ]);
  expect(data.find((model) => model["id"] === "embedded-echo")).toMatchObject({
    object: "model",
    owned_by: "nexus",
    demo: true,
    price: "free",
  });
  expect(data.find((model) => model["id"] === "priced")).toMatchObject({
    demo: false,
    price: { input: "1000000000", output: "10000000000", source: "test" },
  });
});

test("the embedded moderation answers in OpenAI's form, and says that it is a demonstration", async () => {
  const model = "embedded-moderation";
  const said = ["I will find you and kill you.", "The train leaves at noon."];
  const answer = await call("/v1/moderations", { model, input: said });
  expect([answer.status, answer.headers.get("x-nexus-demo"), answer.headers.get("x-nexus-cost-nanos")]).toEqual([
    200,
    "true",
    "0",
  ]);
  const { results } = (await answer.json()) as { results: Record<string, Record<string, unknown>>[] };
  expect(results.map(({ flagged }) => flagged)).toEqual([true, false]);
  expect(results[0]).toMatchObject({ categories: { "harassment/threatening": true, "sexual/minors": false } });
  expect(results[0]?.["category_applied_input_types"]).toMatchObject({ harassment: ["text"], "sexual/minors": [] });
  for (const part of ["categories", "category_scores", "category_applied_input_types"])
    expect(Object.keys(results[1]?.[part] ?? {})).toHaveLength(13);
  const parts = { model, input: said.map((text) => ({ type: "text", text })) };
  expect(((await (await call("/v1/moderations", parts)).json()) as { results: unknown[] }).results).toHaveLength(1);
  for (const input of [undefined, 7, [], [1], [{ type: "image_url", image_url: { url: "https://x.example/a.png" } }]])
    expect((await call("/v1/moderations", { model, input })).status).toBe(422);
  expect((await call("/v1/moderations", { model: "embedded-echo", input: "x" })).status).toBe(422);
  expect((await call("/v1/chat/completions", { model, messages })).status).toBe(422);
});

test("an embedded model answers whole and streamed with its own figures", async () => {
  const whole = await chat({ model: "embedded-echo" });
  expect(whole.headers.get("x-nexus-demo")).toBe("true");
  const document = (await whole.json()) as {
    choices: { message: { content: string }; finish_reason: string }[];
    usage: Record<string, number>;
  };
  expect(document.choices[0]).toMatchObject({ message: { role: "assistant", content: "one two" }, finish_reason: "stop" });
  expect(document.usage["total_tokens"]).toBe(document.usage["prompt_tokens"]! + document.usage["completion_tokens"]!);
  expect(await rowOf(scene, whole)).toMatchObject({
    provider: "nexus",
    cost_nanos: 0n,
    output_tokens: BigInt(document.usage["completion_tokens"]!),
  });
  const streamed = await chat({ model: "embedded-echo", stream: true, stream_options: { include_usage: true } });
  const frames = (await streamed.text())
    .trimEnd()
    .split("\n\n")
    .map((frame) => frame.slice(6));
  expect(frames.at(-1)).toBe("[DONE]");
  const chunks = frames
    .slice(0, -1)
    .map((frame) => JSON.parse(frame) as { choices: { delta: { content?: string } }[]; usage: object | null });
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe("one two");
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: document.usage });
  expect(await rowOf(scene, streamed)).toMatchObject({ stream: true, outcome: "ok" });
});

test("embeddings come from a provider as they are and from the embedded model in both encodings", async () => {
  provider.answerWith(embeddingAnswer());
  const remote = await call("/v1/embeddings", { model: "embed", input: "a", unknown: 1 });
  expect(await remote.json()).toMatchObject({ data: [{ embedding: [0.25, -0.5] }] });
  expect(provider.received[0]!.body.toString()).toBe('{"model":"embed","input":"a","unknown":1}');
  expect(await rowOf(scene, remote)).toMatchObject({ endpoint: "embeddings", input_tokens: 5n, output_tokens: 0n });
  const float = (await (await call("/v1/embeddings", { model: "use-lite-en-512", input: ["a cat", "a dog"] })).json()) as {
    data: { embedding: number[] }[];
    usage: object;
  };
  expect(float.data.map((one) => one.embedding.length)).toStrictEqual([512, 512]);
  const base64 = (await (
    await call("/v1/embeddings", { model: "use-lite-en-512", input: "a cat", encoding_format: "base64" })
  ).json()) as { data: { embedding: string }[] };
  const bytes = Buffer.from(base64.data[0]!.embedding, "base64");
  expect(bytes.readFloatLE(0)).toBeCloseTo(float.data[0]!.embedding[0]!, 5);
  for (const wrong of [{ dimensions: 256 }, { encoding_format: "int8" }, { input: [] }, { input: [""] }, { input: [[1, 2]] }]) {
    expect((await call("/v1/embeddings", { model: "use-lite-en-512", input: "a", ...wrong })).status).toBe(422);
  }
});

test("an organization without a budget may spend nothing, and free models need none", async () => {
  const answer = await chat({ model: "priced" });
  expect(answer.status).toBe(402);
  expect(await errorOf(answer)).toMatchObject({
    code: "budget_exceeded",
    type: "insufficient_quota",
    budget_id: null,
    level: "organization",
    subject: null,
    period: "total",
    limit_nanos: "0",
    settled_nanos: "0",
    granted_nanos: "0",
    needed_nanos: expect.stringMatching(/^[1-9]\d*$/),
    available_nanos: "0",
    resets_at: null,
    frozen_at: null,
  });
  expect(provider.received).toHaveLength(0);
  expect((await chat({ model: "free" })).status).toBe(200);
});

test("a priced call sends a cap, is charged what it used and gives the rest back", async () => {
  const rich = await scene.issueKey({ budgetNanos: 1_000_000_000n });
  const answer = await chat({ model: "priced" }, rich.key);
  expect(JSON.parse(provider.received[0]!.body.toString())).toMatchObject({ model: "priced", max_tokens: 1000 });
  // 11 tokens at $1 and 7 at $10 a million.
  expect(answer.headers.get("x-nexus-cost-nanos")).toBe("81000");
  expect(await rowOf(scene, answer)).toMatchObject({
    cost_nanos: 81_000n,
    outcome: "ok",
    price: { input: "1000000000", effective: "2026-01-01" },
  });
  await waitFor(async () => (await budgetOf(rich.organizationId)).settled_nanos === 81_000n);
  await waitFor(async () => (await budgetOf(rich.organizationId)).granted_nanos === 0n);
  await chat({ model: "priced", max_completion_tokens: 5 }, rich.key);
  const second = JSON.parse(provider.received[1]!.body.toString()) as object;
  expect(second).toMatchObject({ max_tokens: 5 });
  expect(second).not.toHaveProperty("max_completion_tokens");
  await chat({ model: "priced", max_tokens: 99_999 }, rich.key);
  expect(JSON.parse(provider.received[2]!.body.toString())).toMatchObject({ max_tokens: 1000 });
});

test.each([
  ["a cap of the client's own", "priced", { max_tokens: 5 }, null],
  ["one that the model cannot write", "priced", { max_tokens: 99_999 }, "1000"],
  ["none, where money is counted", "priced", {}, "1000"],
  ["none, streamed", "priced", { stream: true }, "1000"],
  ["none, where none is", "free", {}, null],
])("a header tells the output cap that was sent in place of the client's: %s", async (_, model, asked, told) => {
  const rich = await scene.issueKey({ budgetNanos: 1_000_000_000n });
  if ("stream" in asked) provider.answerWith(chatStream());
  const answer = await chat({ model, ...asked }, rich.key);
  expect([answer.status, answer.headers.get("x-nexus-max-tokens")]).toEqual([200, told]);
  await answer.text();
});

test("calls at once never spend more than the budget, whatever they end with", async () => {
  // A call is bounded at about 1,100 tokens in and 10 out: 1.2 million nanos; it costs 81,000.
  const limit = 6_000_000n;
  const tight = await scene.issueKey({ budgetNanos: limit });
  provider.answerWith(chatAnswer({ delayMs: 50 }));
  const answers = await Promise.all(Array.from({ length: 40 }, () => chat({ model: "priced", max_tokens: 10 }, tight.key)));
  const statuses = new Set(answers.map((answer) => answer.status));
  expect(statuses).toStrictEqual(new Set([200, 402]));
  await waitFor(async () => (await budgetOf(tight.organizationId)).granted_nanos === 0n);
  const { settled_nanos } = await budgetOf(tight.organizationId);
  const ok = answers.filter((answer) => answer.status === 200).length;
  expect(settled_nanos).toBe(81_000n * BigInt(ok));
  expect(settled_nanos).toBeLessThanOrEqual(limit);
});

test("a provider that ignores the cap leaves an overrun, charged as it was", async () => {
  const rich = await scene.issueKey({ budgetNanos: 10_000_000_000n });
  provider.answerWith(chatAnswer({ usage: { prompt_tokens: 10, completion_tokens: 900_000 } }));
  const answer = await chat({ model: "priced" }, rich.key);
  expect(answer.status).toBe(200);
  expect(await rowOf(scene, answer)).toMatchObject({ outcome: "overrun", cost_nanos: 10_000n + 9_000_000_000n });
  await waitFor(async () => (await budgetOf(rich.organizationId)).settled_nanos === 9_000_010_000n);
});

test("administrators set budgets, each change with its audit entry; others may not", async () => {
  const admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
  const { organizationId } = await scene.issueKey();
  const put = (limit: unknown, bearer = admin, organization = organizationId) =>
    call(`/v1/admin/budgets/${organization}`, { limit_nanos: limit }, bearer, { method: "PUT" });
  expect((await put("5000")).status).toBe(200);
  const second = await put("7000");
  expect(await second.json()).toMatchObject({
    limit_nanos: "7000",
    settled_nanos: "0",
    granted_nanos: "0",
    available_nanos: "7000",
    organization_id: organizationId,
  });
  expect((await get(`/v1/admin/budgets/${organizationId}`, admin)).status).toBe(200);
  const list = (await (await get("/v1/admin/budgets?limit=1", admin)).json()) as {
    data: unknown[];
    has_more: boolean;
    next_cursor: string;
  };
  expect(list.data).toHaveLength(1);
  const entries = await scene.owner.db
    .selectFrom("audit_log")
    .select(["action", "details"])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .orderBy("writer_seq")
    .execute();
  expect(entries).toMatchObject([
    { action: "budget.created", details: { limit_nanos: "5000" } },
    { action: "budget.updated", details: { limit_nanos_before: "5000", limit_nanos: "7000" } },
  ]);
  expect((await put(7000)).status).toBe(422);
  expect((await put("9999999999999999999")).status).toBe(422);
  expect((await put("-1")).status).toBe(422);
  expect((await put("1", admin, "org_00000000-0000-7000-8000-000000000000")).status).toBe(404);
  expect((await put("1", scene.issuer.token(scene.issuer.person(), "puaboai-sdk"))).status).toBe(403);
  expect((await put("1", key.key)).status).toBe(403);
});

test("usage is seen by its key, its organization's people and administrators, page by page", async () => {
  const own = await scene.issueKey();
  const answers = [];
  for (let i = 0; i < 3; i++)
    answers.push(await chat({ model: "embedded-echo" }, own.key, { headers: { "x-request-id": `mine-${i}` } }));
  interface Page {
    data: { request_id: string; client_request_id: string; key_id: string }[];
    totals: { requests: number; cost_nanos: string };
    next_cursor: string | null;
  }
  const read = async (path: string, bearer: string) => (await (await get(path, bearer)).json()) as Page;
  const first = await read("/v1/usage?limit=2", own.key);
  const second = await read(`/v1/usage?limit=2&cursor=${first.next_cursor}`, own.key);
  // Within one millisecond the order is that of the ids: stable, but not that of the calls.
  const seen = [...first.data, ...second.data];
  expect(new Set(seen.map((row) => row.request_id))).toStrictEqual(new Set(answers.map((a) => a.headers.get("x-request-id"))));
  expect(seen).toHaveLength(3);
  expect(seen.map((row) => row.client_request_id).toSorted((a, b) => a.localeCompare(b))).toStrictEqual([
    "mine-0",
    "mine-1",
    "mine-2",
  ]);
  expect(second.next_cursor).toBeNull();
  expect(first.totals).toMatchObject({ requests: 3, cost_nanos: "0" });
  const person = { ...scene.issuer.person(), organizationId: own.organizationId as never };
  expect((await read("/v1/usage", scene.issuer.token(person, "puaboai-sdk"))).totals.requests).toBe(3);
  const admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
  expect((await read(`/v1/usage?key_id=${own.id}`, admin)).totals.requests).toBe(3);
  expect((await read("/v1/usage", admin)).totals.requests).toBeGreaterThan(3);
  expect((await get(`/v1/usage?organization_id=${key.organizationId}`, own.key)).status).toBe(404);
  expect((await get(`/v1/usage?key_id=${key.id}`, own.key)).status).toBe(404);
  expect((await get("/v1/usage?limit=0", own.key)).status).toBe(422);
  expect((await get("/v1/usage?colour=red", own.key)).status).toBe(422);
  expect((await get("/v1/usage?cursor=abc", own.key)).status).toBe(422);
});

test("no log line holds a secret or what was said", () => {
  const text = logs.text();
  expect(text.length).toBeGreaterThan(1000);
  for (const secret of [
    key.key,
    key.key.slice(21),
    providerSecret,
    scene.environment["NEXUS_AUDIT_KEY"]!,
    scene.environment["DB_PASSWORD"]!,
    "one two",
  ]) {
    expect(text).not.toContain(secret);
  }
});
