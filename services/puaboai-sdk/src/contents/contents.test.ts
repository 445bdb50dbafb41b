/** What is asked and answered is kept where an administrator wants it, and nowhere else: on real gateways and a real PostgreSQL. */
import { createServer, connect as connectSocket, type AddressInfo, type Socket } from "node:net";
import { newId, newUuid, uuidOf } from "@nexus/core";
import {
  captureLogs,
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  messagesAnswer,
  openGatewayScene,
  responsesAnswer,
  startFakeUpstream,
  startTestRedis,
  waitFor,
} from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;
let neighbour: RunningService;
let admin: string;
let settings: string;
const closing: (() => Promise<void>)[] = [];
const logs = captureLogs();

async function start(change: Record<string, string> = {}): Promise<RunningService> {
  const spool = `${scene.directory}/spool-${newUuid()}`;
  const variables = { NEXUS_SPOOL_DIR: spool, NEXUS_GATEWAY_CONFIG: settings, ...change };
  const running = await startTestGateway(scene, { variables, logs });
  closing.push(() => running.close());
  return running;
}

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const model = "kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free";
  settings = scene.writeSettings(`
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true }
  claude: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
  answers: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [openai-responses] }
models:
  - { id: chat, provider: fake, ${model} }
  - { id: guarded, provider: fake, ${model} }
  - { id: tidied, provider: fake, ${model} }
  - { id: again, provider: fake, ${model}, cache: { ttl_seconds: 600 } }
  - { id: claude, provider: claude, ${model} }
  - { id: answers, provider: answers, ${model} }
  - { id: numbers, provider: fake, kind: embeddings, context_tokens: 8000, price: free }
guardrails:
  - { name: no-addresses, kind: detector, detects: [email], action: block, on: input, models: [guarded] }
  - { name: tidy, kind: detector, detects: [email], action: redact, on: both, models: [tidied] }
`);
  [gateway, neighbour] = await Promise.all([start(), start()]);
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
});
afterAll(async () => {
  for (const close of closing.toReversed()) await close();
  await provider.close();
  await scene.close();
});
beforeEach(() => provider.answerWith(chatAnswer()));

const call = (
  key: string,
  body: object,
  { path = "/v1/chat/completions", at = gateway, signal = undefined as AbortSignal | undefined } = {},
) =>
  fetch(at.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
const asked = (content: string, more: object = {}) => ({ model: "chat", messages: [{ role: "user", content }], ...more });
const idOf = (answer: Response): string => answer.headers.get("x-request-id")!;
async function ask(method: string, path: string, { bearer = admin, body = undefined as object | undefined, at = gateway } = {}) {
  const answer = await fetch(at.url + path, {
    method,
    headers: { authorization: `Bearer ${bearer}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: (text ? JSON.parse(text) : undefined) as Record<string, unknown> };
}
const settingsOf = (organizationId: string) => `/v1/admin/content-log/${organizationId}`;
const set = (organizationId: string, body: object) => ask("PUT", settingsOf(organizationId), { body });
async function keyWithLog(terms: object = {}): Promise<{ key: string; organizationId: string }> {
  const issued = await scene.issueKey();
  expect(await set(issued.organizationId, { enabled: true, ...terms })).toMatchObject({ status: 200, body: { enabled: true } });
  return issued;
}
interface Content {
  streamed: boolean;
  prompt: { text: string; bytes: number; cut: boolean } | null;
  answer: { text: string; bytes: number; cut: boolean } | null;
  expires_at: string;
  kept_at: string;
}
const contentOf = async (id: string, at = gateway): Promise<Content> =>
  await waitFor(async () => {
    const { status, body } = await ask("GET", `/v1/requests/${id}/content`, { at });
    return status === 200 && (body as unknown as Content);
  });
const rowsOf = (organizationId: string) =>
  scene.owner.db
    .selectFrom("request_contents")
    .selectAll()
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .execute();
const entriesOf = async (organizationId: string) =>
  await scene.owner.db
    .selectFrom("audit_log")
    .select(["action", "targets", "details"])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .orderBy("recorded_at")
    .execute();
const counted = async (event: string, at = gateway): Promise<number> => {
  const text = await (await fetch(`${at.internalUrl}/metrics`)).text();
  return Number(new RegExp(`^nexus_gateway_content_log_total\\{event="${event}".*\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
};

test("nothing is kept unless it was switched on, and of other organizations never", async () => {
  const silent = await scene.issueKey();
  expect((await ask("GET", settingsOf(silent.organizationId))).body).toMatchObject({
    enabled: false,
    retention_days: 7,
    max_bytes: 65_536,
    updated_at: null,
  });
  const { key, organizationId } = await keyWithLog();
  const unkept = await call(silent.key, asked("not mine to keep"));
  const kept = await call(key, asked("keep this"));
  expect([unkept.status, kept.status]).toEqual([200, 200]);
  await contentOf(idOf(kept));
  expect(await rowsOf(organizationId)).toHaveLength(1);
  expect(await rowsOf(silent.organizationId)).toEqual([]);
  expect((await ask("GET", `/v1/requests/${idOf(unkept)}/content`)).status).toBe(404);
});

test("a whole answer is kept as the client got it, with the request as it came, and sealed in the table", async () => {
  const { key, organizationId } = await keyWithLog({ retention_days: 3 });
  const body = asked("how many? größe ✓", { temperature: 0.5 });
  const answer = await call(key, body);
  const text = await answer.text();
  const content = await contentOf(idOf(answer));
  expect(content).toMatchObject({
    request_id: idOf(answer),
    organization_id: organizationId,
    streamed: false,
    prompt: { text: JSON.stringify(body), bytes: Buffer.byteLength(JSON.stringify(body)), cut: false },
    answer: { text, bytes: Buffer.byteLength(text), cut: false },
  });
  expect(Date.parse(content.expires_at) - Date.parse(content.kept_at)).toBe(3 * 86_400_000);
  const [row] = await rowsOf(organizationId);
  expect(row!.prompt!.includes("how many")).toBe(false);
  expect(row!.answer!.includes("hello")).toBe(false);
  // What lies in another row's place does not open.
  const other = await call(key, asked("other"));
  await contentOf(idOf(other));
  await scene.owner.db
    .updateTable("request_contents")
    .set({ prompt: row!.prompt })
    .where("request_id", "=", uuidOf("request", idOf(other))!)
    .execute();
  expect((await contentOf(idOf(other))).prompt!.text).toBeNull();
});

test.each([
  ["chat", "/v1/chat/completions", chatStream({ texts: ["hel", "lo ", "wörld"], pieceBytes: 40 })],
  ["claude", "/v1/messages", messagesAnswer({ stream: true, texts: ["hel", "lo ", "wörld"] })],
  ["answers", "/v1/responses", responsesAnswer({ stream: true, texts: ["hel", "lo ", "wörld"] })],
  // Translated: what is kept is what the client got.
  ["chat", "/v1/messages", chatStream({ texts: ["hel", "lo ", "wörld"] })],
])("a stream of %s at %s is kept as its text", async (model, path, script) => {
  provider.answerWith(script);
  const { key } = await keyWithLog();
  const input = path === "/v1/responses" ? { input: "say hello" } : { messages: [{ role: "user", content: "say hello" }] };
  const answer = await call(
    key,
    { model, stream: true, max_tokens: undefined, ...(path === "/v1/messages" && { max_tokens: 50 }), ...input },
    { path },
  );
  expect(answer.headers.get("content-type")).toContain("text/event-stream");
  await answer.text();
  const content = await contentOf(idOf(answer));
  expect(content).toMatchObject({ streamed: true, answer: { text: "hello wörld", bytes: 12, cut: false } });
  expect(content.prompt!.text).toContain("say hello");
});

test.each(["/v1/messages", "/v1/responses"])("whole answers of %s are kept", async (path) => {
  const isMessages = path === "/v1/messages";
  provider.answerWith(isMessages ? messagesAnswer() : responsesAnswer());
  const { key } = await keyWithLog();
  const body = isMessages
    ? { model: "claude", max_tokens: 50, messages: [{ role: "user", content: "hi" }] }
    : { model: "answers", input: "hi" };
  const answer = await call(key, body, { path });
  const text = await answer.text();
  expect(answer.status).toBe(200);
  expect(await contentOf(idOf(answer))).toMatchObject({
    streamed: false,
    prompt: { text: JSON.stringify(body) },
    answer: { text },
  });
});

test("of a stream whose client goes away what was sent is kept", async () => {
  provider.answerWith(chatStream({ texts: ["one ", "two ", ...Array<string>(200).fill("more ")], delayMs: 25 }));
  const { key } = await keyWithLog();
  const leaving = new AbortController();
  const answer = await call(key, asked("count", { stream: true }), { signal: leaving.signal });
  const reader = answer.body!.getReader();
  for (let seen = ""; !seen.includes("two ");) seen += Buffer.from((await reader.read()).value ?? []).toString();
  leaving.abort();
  const { answer: kept, prompt } = await contentOf(idOf(answer));
  expect(prompt!.text).toContain("count");
  expect(kept!.text).toMatch(/^one two (?:more )*$/);
  expect(kept!.bytes).toBeLessThan(200 * 5);
});

test("a model of the gateway's own is kept, whole and streamed", async () => {
  const { key } = await keyWithLog();
  const whole = await call(key, asked("größe ✓", { model: "embedded-echo" }));
  const text = await whole.text();
  expect(text).toContain("größe ✓");
  expect(await contentOf(idOf(whole))).toMatchObject({ streamed: false, answer: { text, cut: false } });
  const streamed = await call(key, asked("größe ✓", { model: "embedded-echo", stream: true }));
  await streamed.text();
  expect(await contentOf(idOf(streamed))).toMatchObject({ streamed: true, answer: { text: "größe ✓", cut: false } });
});

test("arguments of tools and several choices are kept, a broken stream as far as it went", async () => {
  const { key } = await keyWithLog();
  const chunk = (choices: object[]) =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "m", choices })}\n\n`;
  const tool = (args: string, more: object = {}) => ({ tool_calls: [{ index: 0, ...more, function: { arguments: args } }] });
  provider.answerWith((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(chunk([{ index: 0, delta: { role: "assistant", content: "let me see" } }]));
    response.write(chunk([{ index: 0, delta: tool('{"city":"Od') }]) + chunk([{ index: 1, delta: { content: "second" } }]));
    response.write(chunk([{ index: 0, delta: tool('ense"}') }]), () => response.destroy());
  });
  const answer = await call(key, asked("weather", { stream: true }));
  await answer.text();
  expect((await contentOf(idOf(answer))).answer!.text).toBe('let me see\n\n{"city":"Odense"}\n\nsecond');
});

test("what guardrails rewrite is kept as they left it, on both ways", async () => {
  provider.answerWith(chatStream({ texts: ["ask jane.", "roe@example", ".com again"] }));
  const { key } = await keyWithLog();
  const answer = await call(key, asked("I am john.doe@example.com", { model: "tidied", stream: true }));
  await answer.text();
  const content = await contentOf(idOf(answer));
  expect(content.prompt!.text).toContain("I am [EMAIL]");
  expect(content.answer!.text).toBe("ask [EMAIL] again");
});

test("an answer from the cache is kept for the call that got it", async () => {
  const redis = await startTestRedis();
  closing.push(() => redis.stop());
  const at = await start({ REDIS_URL: redis.target.url });
  const { key } = await keyWithLog();
  await waitFor(async () => {
    await (await call(key, asked("heard?"), { at })).text();
    return (await counted("kept", at)) > 0;
  });
  for (const stream of [false, true]) {
    provider.answerWith(stream ? chatStream() : chatAnswer());
    const hit = await waitFor(async () => {
      const answer = await call(key, asked("the same", { model: "again", stream }), { at });
      const text = await answer.text();
      return answer.headers.get("x-nexus-cache") === "hit" && { id: idOf(answer), text };
    });
    const content = await contentOf(hit.id, at);
    expect(content.prompt!.text).toContain("the same");
    expect(content).toMatchObject({ streamed: stream, answer: { text: stream ? "hello" : hit.text } });
  }
});

test("a person's call is kept like a key's", async () => {
  const { organizationId } = await keyWithLog();
  const person = { ...scene.issuer.person(), organizationId: organizationId as `org_${string}` };
  const answer = await call(scene.issuer.token(person, "puaboai-sdk"), asked("by a person"));
  await answer.text();
  expect((await contentOf(idOf(answer))).prompt!.text).toContain("by a person");
});

test("a refusal is kept as the client got it; what a guardrail has refused is not", async () => {
  provider.answerWith(chatAnswer({ status: 500, body: "{}" }));
  const { key } = await keyWithLog();
  const failed = await call(key, asked("fails"));
  const text = await failed.text();
  expect(failed.status).toBe(502);
  expect(await contentOf(idOf(failed))).toMatchObject({ prompt: { text: JSON.stringify(asked("fails")) }, answer: { text } });
  const refused = await call(key, asked("write to jane.roe@example.com", { model: "guarded" }));
  expect(refused.status).toBe(400);
  expect(await contentOf(idOf(refused))).toMatchObject({
    prompt: null,
    answer: { text: expect.stringContaining("guardrail_blocked") },
  });
});

test("texts are cut at the size, not within a character, and say so", async () => {
  const { key } = await keyWithLog({ max_bytes: 1024 });
  const long = "ü".repeat(30_000);
  provider.answerWith(chatAnswer({ text: long }));
  const whole = await call(key, asked(long));
  const told = (await whole.arrayBuffer()).byteLength;
  const content = await contentOf(idOf(whole));
  for (const part of [content.prompt!, content.answer!]) {
    expect(part.cut).toBe(true);
    expect(Buffer.byteLength(part.text)).toBeGreaterThanOrEqual(1023);
    expect(Buffer.byteLength(part.text)).toBeLessThanOrEqual(1024);
    expect(part.text).not.toContain("\ufffd");
  }
  expect([content.prompt!.bytes, content.answer!.bytes]).toEqual([Buffer.byteLength(JSON.stringify(asked(long))), told]);
  provider.answerWith(chatStream({ texts: Array<string>(3000).fill("ten bytes ") }));
  const streamed = await call(key, asked("long", { stream: true }));
  await streamed.text();
  expect((await contentOf(idOf(streamed))).answer).toEqual({
    text: "ten bytes ".repeat(103).slice(0, 1024),
    bytes: 30_000,
    cut: true,
  });
});

test("secrets are masked wherever they stand, also behind an escape, across frames and across the cut", async () => {
  const { key } = await keyWithLog({ max_bytes: 1024 });
  const secret = `sk-proj-${"Ab3".repeat(16)}`;
  provider.answerWith(chatStream({ texts: ["the key is ", secret.slice(0, 9), secret.slice(9), " ok"] }));
  const nested = JSON.stringify({ note: `first\n${secret}` });
  const first = await call(key, asked(`line\n${secret} and ${nested}`, { stream: true }));
  await first.text();
  const content = await contentOf(idOf(first));
  expect(content.answer!.text).toBe("the key is [OPENAI_KEY] ok");
  expect(content.prompt!.text).not.toContain("Ab3Ab3");
  expect(content.prompt!.text).toContain("[OPENAI_KEY]");
  const start = JSON.stringify(asked("")).indexOf('""') + 1;
  const across = await call(key, asked(`${"x".repeat(1024 - start - 20)} ${secret}`));
  await across.text();
  expect((await contentOf(idOf(across))).prompt!.text).not.toContain("Ab3");
});

test("embeddings are not kept", async () => {
  const { key, organizationId } = await keyWithLog();
  const numbers = await call(key, { model: "numbers", input: "words" }, { path: "/v1/embeddings" });
  const chat = await call(key, asked("hello"));
  await contentOf(idOf(chat));
  expect((await rowsOf(organizationId)).map(({ request_id: id }) => id)).toEqual([uuidOf("request", idOf(chat))]);
  expect((await ask("GET", `/v1/requests/${idOf(numbers)}/content`)).status).toBe(404);
});

test("administrators alone switch, read and erase; each of it is in the audit log", async () => {
  const { key, organizationId } = await keyWithLog({ retention_days: 2 });
  const id = idOf(await call(key, asked("secret plans")));
  await contentOf(id);
  const member = scene.issuer.token(
    { ...scene.issuer.person(), organizationId: organizationId as `org_${string}` },
    "puaboai-sdk",
  );
  for (const bearer of [key, member]) {
    const statuses = await Promise.all([
      ask("GET", `/v1/requests/${id}/content`, { bearer }),
      ask("GET", settingsOf(organizationId), { bearer }),
      ask("PUT", settingsOf(organizationId), { bearer, body: { enabled: false } }),
      ask("DELETE", settingsOf(organizationId), { bearer }),
    ]);
    expect(statuses.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
  }
  const before = await entriesOf(organizationId);
  expect(before.map(({ action }) => action)).toEqual(["content_log.set", "request_content.read"]);
  expect(before[0]!.details).toMatchObject({ before: null, after: { enabled: true, retention_days: 2, max_bytes: 65_536 } });
  expect(before[1]!.targets).toEqual([{ kind: "request", id }]);
  expect(JSON.stringify(before)).not.toContain("secret plans");
  expect(await ask("DELETE", settingsOf(organizationId))).toMatchObject({ status: 204 });
  expect(await rowsOf(organizationId)).toEqual([]);
  expect((await ask("GET", `/v1/requests/${id}/content`)).status).toBe(404);
  expect((await ask("DELETE", settingsOf((await scene.issueKey()).organizationId))).status).toBe(404);
  expect((await entriesOf(organizationId)).at(-1)).toMatchObject({ action: "content_log.erased" });
  // Erased is not switched off.
  const next = idOf(await call(key, asked("again")));
  expect((await contentOf(next)).prompt!.text).toContain("again");
});

test.each([
  {},
  { enabled: "yes" },
  { enabled: true, retention_days: 0 },
  { enabled: true, retention_days: 91 },
  { enabled: true, max_bytes: 1023 },
  { enabled: true, color: 1 },
])("%j is refused", async (body) => {
  const { organizationId } = await scene.issueKey();
  expect((await set(organizationId, body)).status).toBe(422);
});

test("unknown organizations and requests are not found", async () => {
  for (const unknown of [newId("organization"), "nonsense"]) {
    expect((await set(unknown, { enabled: true })).status).toBe(404);
    expect((await ask("DELETE", settingsOf(unknown))).status).toBe(404);
  }
  for (const unknown of [newId("request"), "nonsense"])
    expect((await ask("GET", `/v1/requests/${unknown}/content`)).status).toBe(404);
});

test("another gateway hears of it; once it is off, PostgreSQL takes nothing more from anybody", async () => {
  const { key, organizationId } = await scene.issueKey();
  await set(organizationId, { enabled: true });
  await waitFor(async () => {
    await (await call(key, asked("over there"), { at: neighbour })).text();
    await ask("GET", `/v1/requests/${newId("request")}/content`, { at: neighbour });
    return (await rowsOf(organizationId)).length > 0;
  });
  // A call that is under way while it is switched off.
  const switchedOff = Promise.withResolvers<void>();
  provider.answerWith(async (response, request) => {
    await switchedOff.promise;
    await chatAnswer()(response, request);
  });
  const refused = await counted("refused", neighbour);
  const running = call(key, asked("too late"), { at: neighbour });
  await waitFor(() => provider.received.at(-1)?.body.includes("too late"));
  await set(organizationId, { enabled: false });
  const kept = (await rowsOf(organizationId)).length;
  switchedOff.resolve();
  const late = await running;
  await late.text();
  await waitFor(async () => (await counted("refused", neighbour)) > refused);
  expect(await rowsOf(organizationId)).toHaveLength(kept);
  // What was kept before stays readable for its time.
  const [row] = await rowsOf(organizationId);
  expect((await ask("GET", `/v1/requests/req_${row!.request_id}/content`)).status).toBe(200);
});

test("what is past its time is gone for readers at once, and deleted in batches", async () => {
  const { key, organizationId } = await keyWithLog({ retention_days: 1 });
  const [old, young] = [idOf(await call(key, asked("old"))), idOf(await call(key, asked("young")))];
  await Promise.all([contentOf(old), contentOf(young)]);
  await sql`UPDATE request_contents SET created_at = now() - interval '25 hours' WHERE request_id = ${uuidOf("request", old)}::uuid`.execute(
    scene.owner.db,
  );
  await sql`INSERT INTO request_contents (request_id, organization_id, created_at, prompt_bytes, answer_bytes, prompt_cut, answer_cut, streamed)
    SELECT gen_random_uuid(), ${uuidOf("organization", organizationId)}::uuid, now() - interval '26 hours', 0, 0, false, false, false
    FROM generate_series(1, 1200)`.execute(scene.owner.db);
  expect((await ask("GET", `/v1/requests/${old}/content`)).status).toBe(404);
  // At its start a gateway deletes.
  const third = await start();
  await waitFor(async () => (await rowsOf(organizationId)).length === 1);
  expect((await contentOf(young, third)).prompt!.text).toContain("young");
  await set(organizationId, { enabled: true, retention_days: 90 });
  expect((await ask("GET", `/v1/requests/${old}/content`)).status).toBe(404);
});

test("while PostgreSQL is away calls go on, and what could not be kept is counted", async () => {
  const sockets = new Set<Socket>();
  let isCut = false;
  const cable = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connectSocket(Number(scene.environment["DB_PORT"]), "127.0.0.1");
    for (const socket of [near, far])
      sockets.add(socket.on("error", () => {}).on("close", () => (near.destroy(), far.destroy())));
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => void cable.listen(0, "127.0.0.1", resolve));
  closing.unshift(() => new Promise((resolve) => void cable.close(() => resolve())));
  const far = await start({ DB_PORT: String((cable.address() as AddressInfo).port) });
  const { key, organizationId } = await keyWithLog();
  await waitFor(async () => {
    await (await call(key, asked("before"), { at: far })).text();
    return (await counted("kept", far)) > 0;
  });
  const [before, failed] = [(await rowsOf(organizationId)).length, await counted("failed", far)];
  isCut = true;
  for (const socket of sockets) socket.destroy();
  const answers = await Promise.all(Array.from({ length: 5 }, () => call(key, asked("meanwhile"), { at: far })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  await waitFor(async () => (await counted("failed", far)) >= failed + 5, { timeoutMs: 20_000 });
  expect(await rowsOf(organizationId)).toHaveLength(before);
  isCut = false;
  await waitFor(async () => {
    await (await call(key, asked("afterwards"), { at: far })).text();
    return (await rowsOf(organizationId)).length > before;
  });
});

test("no text is in the log of a gateway", () => {
  expect(logs.text()).not.toMatch(/keep this|secret plans|say hello|Ab3Ab3/);
});
