/** Guardrails on calls of a real gateway: the detector that comes with it, and a judge that a test runs on a real server. */
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { generateApiKey, uuidOf } from "@nexus/core";
import {
  captureLogs,
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  messagesAnswer,
  openGatewayScene,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

type Script = (response: ServerResponse, question: Question, request: IncomingMessage) => void;
interface Question {
  guardrail: string;
  stage: string;
  request_id: string;
  endpoint: string;
  model: string;
  organization_id: string;
  key_id: string | null;
  texts: { at: string; text: string }[];
}

const secret = "a-secret-of-the-judge-0123456789";
const logs = captureLogs();
let scene: GatewayScene;
let provider: FakeUpstream;
let judge: Awaited<ReturnType<typeof startJudge>>;
let gateway: RunningService;

/** A judge that does what a test says, and checks what it is shown. */
async function startJudge() {
  const questions: Question[] = [];
  const sockets = new Set<object>();
  let script: Script = allow;
  const server = createServer((request, response) => {
    sockets.add(request.socket);
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", (): void => {
      const body = Buffer.concat(chunks);
      const timestamp = String(request.headers["x-nexus-timestamp"]);
      const signature = createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest("hex");
      if (request.headers["x-nexus-signature"] !== `sha256=${signature}`) {
        response.writeHead(401).end();
        return;
      }
      if (Math.abs(Number(timestamp) - Date.now() / 1000) > 30) {
        response.writeHead(401).end();
        return;
      }
      const question = JSON.parse(body.toString()) as Question;
      questions.push(question);
      script(response, question, request);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/judge?of=nexus`,
    questions,
    sockets,
    answerWith: (next: Script) => void (script = next),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

const answer = (response: ServerResponse, document: object) =>
  void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));
const allow: Script = (response) => answer(response, { action: "allow" });

beforeAll(async () => {
  [scene, provider, judge] = await Promise.all([openGatewayScene(), startFakeUpstream(), startJudge()]);
  const chat = "kind: chat, context_tokens: 8000, max_output_tokens: 1000";
  const price = "{ unit: usd_per_million_tokens, input: '1', output: '10', source: test, effective: 2026-01-01 }";
  const http = (name: string, models: string, rest: string) =>
    `  - { name: ${name}, kind: http, url: "${judge.url}", allow_private_network: true, secret_env: JUDGE_SECRET, models: [${models}], ${rest} }`;
  const yaml = `
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true }
  claude: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
models:
${["plain", "blocks", "redacts", "warns", "answers", "streams", "judged", "open", "strict", "bold", "held"]
  .map((id) => `  - { id: ${id}, provider: fake, ${chat}, price: ${price} }`)
  .join("\n")}
  - { id: claude, provider: claude, ${chat}, price: free }
  - { id: target, provider: fake, ${chat}, price: free }
routes:
  around: { targets: [plain, blocks] }
guardrails:
  - { name: no-secrets, kind: detector, on: input, action: block, detects: [secrets], models: [blocks, claude] }
  - { name: no-pii, kind: detector, on: input, action: redact, detects: [pii], models: [redacts] }
  - { name: watch, kind: detector, on: both, action: warn, models: [warns] }
  - { name: clean-answers, kind: detector, on: output, action: block, detects: [pii], models: [answers] }
  - { name: tidy-answers, kind: detector, on: output, action: redact, models: [streams, embedded-echo] }
  - { name: one-org, kind: detector, on: input, action: block, organizations: [org_01a208e9-2007-75b9-92f4-0fc9c59658c9] }
${http("judge", "judged", "on: input, action: redact, timeout_ms: 500, max_bytes: 20000")}
${http("lenient", "open", "on: input, action: block, timeout_ms: 200, on_failure: open")}
${http("strict", "strict", "on: input, action: block, timeout_ms: 200")}
${http("advice", "bold", "on: both, action: warn")}
${http("holder", "held", "on: output, action: redact")}
`;
  gateway = await startTestGateway(scene, { yaml, secrets: { JUDGE_SECRET: secret }, logs });
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([provider.close(), judge.close()]);
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
  judge.questions.length = 0;
  judge.answerWith(allow);
});

/** What no log, row or error may ever hold. */
const found = {
  key: generateApiKey("sk", "live").key,
  mail: "someone.private@example.com",
  card: "4111 1111 1111 1111",
};
afterEach(async () => {
  const held = await writtenAnywhere();
  if (held.length > 0) throw new Error("what was found was written down");
});

/** Which of them a log line or a usage row holds. */
async function writtenAnywhere(): Promise<string[]> {
  const { rows } = await sql<{ row: string }>`SELECT row_to_json(u)::text AS row FROM usage_events u`.execute(scene.owner.db);
  const written = logs.text() + rows.map(({ row }) => row).join();
  return Object.values(found).filter((text) => written.includes(text));
}

interface Asked {
  model: string;
  say?: unknown;
  stream?: boolean;
  path?: string;
  more?: object;
}

function call(key: string, { model, say = "hello", stream = false, path = "/v1/chat/completions", more = {} }: Asked) {
  return post(gateway.url + path, key, { model, stream, messages: [{ role: "user", content: say }], ...more });
}

const issue = () => scene.issueKey({ budgetNanos: 10_000_000_000n });

async function rowOf(keyId: string) {
  return await waitFor(async () => {
    const rows = await scene.owner.db
      .selectFrom("usage_events")
      .selectAll()
      .where("key_id", "=", uuidOf("key", keyId)!)
      .where("outcome", "!=", "crash")
      .orderBy("occurred_at")
      .execute();
    return rows[0];
  });
}

async function grantedOf(organizationId: string): Promise<bigint> {
  const { rows } = await sql<{
    granted: bigint;
  }>`SELECT coalesce(sum(a.granted_nanos), 0)::bigint AS granted FROM budget_accounts a
    JOIN budgets b ON b.id = a.budget_id
    WHERE b.organization_id = ${uuidOf("organization", organizationId)}`.execute(scene.owner.db);
  return rows[0]!.granted;
}

describe("the detector on what goes in", () => {
  test("blocks in the client's dialect, names place and kind, reaches nobody and leaves nothing set aside", async () => {
    const { key, id, organizationId } = await issue();
    const refused = await call(key, { model: "blocks", say: [{ type: "text", text: `my key is ${found.key}` }] });
    expect(refused.status).toBe(400);
    const text = await refused.text();
    expect(text).not.toContain(found.key);
    const { error } = JSON.parse(text) as { error: Record<string, unknown> };
    expect(error).toMatchObject({
      code: "guardrail_blocked",
      type: "invalid_request_error",
      guardrail: "no-secrets",
      stage: "input",
    });
    expect(error["param"]).toBe("messages.0.content.0.text");
    expect(refused.headers.get("x-nexus-guardrail")).toBe("no-secrets=block");
    expect(provider.received).toHaveLength(0);
    const row = await rowOf(id);
    expect(row).toMatchObject({ outcome: "error", http_status: 400, error_code: "guardrail_blocked", model: "blocks" });
    expect(row).toMatchObject({ guardrail: "no-secrets", guardrail_action: "block", cost_nanos: 0n, reserved_nanos: 0n });
    expect(await grantedOf(organizationId)).toBe(0n);
    const claude = await call(key, { model: "claude", path: "/v1/messages", say: found.key, more: { max_tokens: 5 } });
    expect(claude.status).toBe(400);
    expect(await claude.json()).toMatchObject({
      type: "error",
      error: { code: "guardrail_blocked", type: "invalid_request_error" },
    });
  });

  test("is not passed by by a request that says it is a form", async () => {
    const { key } = await issue();
    for (const type of ["multipart/form-data; boundary=x", "text/plain", "application/octet-stream"]) {
      const answered = await fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": type },
        body: JSON.stringify({ model: "blocks", messages: [{ role: "user", content: found.key }] }),
      });
      expect(answered.status).toBeGreaterThanOrEqual(400);
      await answered.text();
    }
    expect(provider.received).toHaveLength(0);
  });

  test("applies to a route that can reach the model, and not to another model", async () => {
    const { key } = await issue();
    expect((await call(key, { model: "around", say: found.key })).status).toBe(400);
    expect((await call(key, { model: "plain", say: found.key })).status).toBe(200);
    expect(provider.received).toHaveLength(1);
  });

  test("redacts inside the strings alone: the rest of the body is the client's own bytes", async () => {
    const { key, id } = await issue();
    const say = `mail ${found.mail}\n"quoted" and card ${found.card}.`;
    const answered = await call(key, {
      model: "redacts",
      say,
      more: { x_unknown: 1.0, nested: { "a b": [null, `<${found.mail}>`] } },
    });
    expect(answered.status).toBe(200);
    expect(answered.headers.get("x-nexus-guardrail")).toBe("no-pii=redact");
    const sent = provider.received[0]!.body.toString();
    for (const text of Object.values(found)) expect(sent).not.toContain(text);
    const document = JSON.parse(sent) as { messages: { content: string }[]; nested: object };
    expect(document.messages[0]!.content).toBe('mail [EMAIL]\n"quoted" and card [CARD].');
    expect(document.nested).toEqual({ "a b": [null, "<[EMAIL]>"] });
    expect(await rowOf(id)).toMatchObject({ outcome: "ok", guardrail: "no-pii", guardrail_action: "redact" });
  });

  test("warns by a header, and changes nothing", async () => {
    const { key, id } = await issue();
    const answered = await call(key, { model: "warns", say: found.mail });
    expect(answered.headers.get("x-nexus-guardrail")).toBe("watch=warn");
    expect(provider.received[0]!.body.toString()).toContain(found.mail);
    expect(await rowOf(id)).toMatchObject({ guardrail: "watch", guardrail_action: "warn" });
  });

  test("of a clean call says nothing, and of a call without guardrails neither", async () => {
    const { key, id } = await issue();
    expect((await call(key, { model: "blocks" })).headers.get("x-nexus-guardrail")).toBeNull();
    expect(await rowOf(id)).toMatchObject({ guardrail: null, guardrail_action: null });
  });

  test("what is no request is refused as ever", async () => {
    const { key } = await issue();
    const send = (body: string) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body,
      });
    expect((await send('{"model":"blocks",')).status).toBe(400);
    expect((await send('{"model":["blocks"]}')).status).toBe(422);
    expect((await send('{"model":"nobody-knows","messages":[]}')).status).toBe(404);
  });
});

describe("the detector on what comes out", () => {
  test("blocks a whole answer, which is paid for and named in its row", async () => {
    provider.answerWith(chatAnswer({ text: `write to ${found.mail}` }));
    const { key, id } = await issue();
    const refused = await call(key, { model: "answers" });
    expect(refused.status).toBe(400);
    const text = await refused.text();
    expect(text).not.toContain(found.mail);
    expect(JSON.parse(text)).toMatchObject({ error: { code: "guardrail_blocked", guardrail: "clean-answers", stage: "output" } });
    const row = await rowOf(id);
    expect(row).toMatchObject({
      outcome: "error",
      http_status: 400,
      error_code: "guardrail_blocked",
      guardrail: "clean-answers",
    });
    expect(row.cost_nanos).toBeGreaterThan(0n);
  });

  test("redacts a whole answer and keeps it JSON", async () => {
    provider.answerWith(chatAnswer({ text: `"${found.mail}"\t${found.card}` }));
    const { key } = await issue();
    const answered = await call(key, { model: "streams" });
    const { choices } = (await answered.json()) as { choices: { message: { content: string } }[] };
    expect(choices[0]!.message.content).toBe('"[EMAIL]"\t[CARD]');
  });

  test("an answer that is no JSON is not let through", async () => {
    provider.answerWith(chatAnswer({ body: '{"choices": [{"message": "' }));
    const { key } = await issue();
    const refused = await call(key, { model: "streams" });
    expect([refused.status, await codeOf(refused)]).toEqual([502, "upstream_failed"]);
  });

  test.each([1, 3, 7, 1000])("redacts a stream whose texts come in pieces of %i characters", async (size) => {
    const say = `Dear all, write to ${found.mail} or pay with ${found.card}, at once please. The rest is harmless, I promise you that.`;
    const texts = say.match(new RegExp(`.{1,${size}}`, "gs"))!;
    provider.answerWith(chatStream({ texts }));
    const { key, id } = await issue();
    const answered = await call(key, { model: "streams", stream: true });
    const text = await answered.text();
    expect(written(text)).toBe(say.replace(found.mail, "[EMAIL]").replace(found.card, "[CARD]"));
    expect(text).toContain("[DONE]");
    expect(framesOf(text)).toHaveLength(texts.length + 2);
    expect(await rowOf(id)).toMatchObject({ outcome: "ok", guardrail: "tidy-answers", guardrail_action: "redact" });
  });

  test("a stream is not held back until its end: what is decided has left", async () => {
    const texts = Array.from({ length: 200 }, (_, at) => `word${at} `);
    provider.answerWith(chatStream({ texts, delayMs: 20 }));
    const { key } = await issue();
    const answered = await call(key, { model: "streams", stream: true });
    const reader = answered.body!.getReader();
    const first = Buffer.from((await reader.read()).value ?? []).toString();
    expect(first).toContain("word0 ");
    expect(first).not.toContain("[DONE]");
    await reader.cancel();
    await waitFor(() => provider.received[0]!.abortedAt !== undefined);
  });

  test("a stream that blocks ends between frames with an error, and the provider is let go", async () => {
    const texts = [
      ..."The first words are harmless, as anybody can see, and then comes ".match(/.{1,5}/g)!,
      found.mail,
      " and more",
    ];
    provider.answerWith(chatStream({ texts: [...texts, ...Array.from({ length: 500 }, () => "word ")], delayMs: 5 }));
    const { key, id } = await issue();
    const text = await (await call(key, { model: "answers", stream: true })).text();
    expect(text).toContain("The f");
    expect(text).not.toContain("someone");
    expect(text).not.toContain("[DONE]");
    expect(framesOf(text).at(-1)).toMatchObject({ error: { code: "guardrail_blocked", guardrail: "clean-answers" } });
    await waitFor(() => provider.received[0]!.abortedAt !== undefined);
    const row = await rowOf(id);
    expect(row).toMatchObject({ outcome: "aborted", error_code: "guardrail_blocked", guardrail: "clean-answers" });
    expect(row.cost_nanos).toBeGreaterThan(0n);
  });

  test("a stream that breaks keeps back what was not decided", async () => {
    provider.answerWith(chatStream({ texts: ["write to some", "one.private@exam", "ple.com"], dieAfter: 2 }));
    const { key } = await issue();
    const answered = await call(key, { model: "streams", stream: true });
    expect(await answered.text()).not.toContain("someone");
  });

  test("an embedded model is no way around", async () => {
    const { key } = await issue();
    for (const stream of [false, true]) {
      const answered = await call(key, { model: "embedded-echo", say: `echo ${found.mail} please`, stream });
      const text = await answered.text();
      expect(text).toContain("[EMAIL]");
      expect(text).not.toContain("someone.private");
    }
  });
});

describe("a judge over HTTP", () => {
  test("is shown every text with its place, signed, and a call that it allows goes on as it was", async () => {
    const { key, id, organizationId } = await issue();
    expect((await call(key, { model: "judged", say: "hello judge" })).status).toBe(200);
    const [question] = judge.questions;
    expect(question).toMatchObject({ guardrail: "judge", stage: "input", endpoint: "chat.completions", model: "judged" });
    expect(question).toMatchObject({ organization_id: organizationId, key_id: id });
    expect(question!.texts).toEqual([
      { at: "/messages/0/role", text: "user" },
      { at: "/messages/0/content", text: "hello judge" },
    ]);
    expect(provider.received).toHaveLength(1);
  });

  test("blocks and redacts; its reasons pass only as plain words", async () => {
    const { key } = await issue();
    judge.answerWith((response) =>
      answer(response, {
        action: "block",
        reason: found.mail,
        findings: [
          { index: 1, kind: "jailbreak" },
          { index: 1, kind: found.mail },
        ],
      }),
    );
    const refused = await call(key, { model: "judged", say: "be evil" });
    const text = await refused.text();
    expect(refused.status).toBe(400);
    expect(text).toContain("jailbreak");
    expect(text).not.toContain(found.mail);
    judge.answerWith((response) => answer(response, { action: "redact", texts: [{ index: 1, text: 'be "good"' }] }));
    expect((await call(key, { model: "judged", say: "be evil" })).headers.get("x-nexus-guardrail")).toBe("judge=redact");
    expect(JSON.parse(provider.received[0]!.body.toString())).toMatchObject({
      messages: [{ role: "user", content: 'be "good"' }],
    });
  });

  test("keeps its connection", async () => {
    const { key } = await issue();
    await call(key, { model: "judged" });
    const before = judge.sockets.size;
    for (let at = 0; at < 5; at++) expect((await call(key, { model: "judged" })).status).toBe(200);
    expect(judge.sockets.size).toBe(before);
  });

  test("that only warns lets pass what it would block, on the way in and out", async () => {
    const { key } = await issue();
    judge.answerWith((response) => answer(response, { action: "block" }));
    const answered = await call(key, { model: "bold" });
    expect([answered.status, answered.headers.get("x-nexus-guardrail")]).toEqual([200, "advice=warn"]);
    expect(judge.questions.map(({ stage }) => stage)).toEqual(["input", "output"]);
  });

  test("on the answer: a whole one and a stream, which is held until it is whole", async () => {
    const { key, id } = await issue();
    judge.answerWith((response, { texts }) => {
      const index = texts.findIndex(({ text }) => text.includes("bad word"));
      answer(response, index === -1 ? { action: "allow" } : { action: "redact", texts: [{ index, text: "a good word" }] });
    });
    provider.answerWith(chatAnswer({ text: "a bad word" }));
    expect(await (await call(key, { model: "held" })).text()).toContain('"content":"a good word"');
    provider.answerWith(chatStream({ texts: ["a ba", "d wo", "rd"] }));
    const stream = await call(key, { model: "held", stream: true });
    expect(stream.headers.get("x-nexus-guardrail")).toBe("holder=redact");
    const text = await stream.text();
    expect(written(text)).toBe("a good word");
    expect(framesOf(text)).toHaveLength(5);
    provider.answerWith(chatStream({ texts: ["fine"] }));
    expect(written(await (await call(key, { model: "held", stream: true })).text())).toBe("fine");
    judge.answerWith((response) => answer(response, { action: "block" }));
    const refused = await call(key, { model: "held", stream: true });
    expect([refused.status, await codeOf(refused)]).toEqual([400, "guardrail_blocked"]);
    expect(await rowOf(id)).toMatchObject({ guardrail: "holder" });
  });

  test("a client that goes while its answer is judged is billed what the provider told", async () => {
    const { key, id } = await issue();
    const gone = new AbortController();
    judge.answerWith(() => gone.abort());
    const body = JSON.stringify({ model: "held", messages: [{ role: "user", content: "hi" }] });
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    await expect(
      fetch(`${gateway.url}/v1/chat/completions`, { method: "POST", headers, body, signal: gone.signal }),
    ).rejects.toThrow();
    expect(await rowOf(id)).toMatchObject({ outcome: "aborted", usage_source: "provider", cost_nanos: 81_000n });
  });

  const lies: [string, Script][] = [
    ["says nothing", () => {}],
    ["answers 500", (response) => void response.writeHead(500).end("no")],
    ["redirects", (response) => void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end()],
    ["answers no JSON", (response) => void response.writeHead(200).end("<html>")],
    [
      "answers half",
      (response) => void response.writeHead(200, { "content-length": 100 }).end('{"action":"all', () => response.destroy()),
    ],
    ["hangs in the middle", (response) => void response.writeHead(200).write('{"action":')],
    [
      "drips",
      (response) => {
        const timer = setInterval(() => (response.destroyed ? clearInterval(timer) : response.write(" ")), 20);
      },
    ],
    [
      "answers without end",
      (response) => {
        const more = (): void => void (response.destroyed || response.write("x".repeat(65_536), more));
        response.writeHead(200);
        more();
      },
    ],
    ["closes the connection", (response) => void response.destroy()],
    ["decides something else", (response) => answer(response, { action: "maybe" })],
    ["answers a list", (response) => answer(response, [])],
    ["redacts what was not asked", (response) => answer(response, { action: "redact", texts: [{ index: 99, text: "x" }] })],
  ];
  test.each(lies)("that %s: `open` lets the call pass, `closed` refuses it", async (_what, script) => {
    judge.answerWith(script);
    const { key, id } = await issue();
    const passed = await call(key, { model: "open" });
    expect([passed.status, passed.headers.get("x-nexus-guardrail")]).toEqual([200, "lenient=failed"]);
    const started = performance.now();
    const refused = await call(key, { model: "strict" });
    expect([refused.status, await codeOf(refused)]).toEqual([503, "guardrail_failed"]);
    expect(performance.now() - started).toBeLessThan(2000);
    expect(provider.received).toHaveLength(1);
    expect(await rowOf(id)).toMatchObject({ outcome: "ok" });
    // Its breaker is closed again for the next one.
    judge.answerWith(allow);
    await waitFor(async () => (await call(key, { model: "strict" })).status === 200, { timeoutMs: 15_000 });
  });

  test("that is asked about more than it takes, and that fails again and again, is not asked", async () => {
    const { key } = await issue();
    expect((await call(key, { model: "judged", say: "x".repeat(30_000) })).status).toBe(503);
    expect(judge.questions).toHaveLength(0);
    judge.answerWith((response) => void response.writeHead(500).end());
    for (let at = 0; at < 8; at++) expect((await call(key, { model: "strict" })).status).toBe(503);
    expect(judge.questions.length).toBeLessThan(8);
  });
});

test("messages and responses streams are read as they are written", async () => {
  const { key } = await issue();
  provider.answerWith(messagesAnswer());
  const answered = await call(key, { model: "claude", path: "/v1/messages", more: { max_tokens: 10 } });
  expect(answered.status).toBe(200);
});

async function codeOf(response: Response): Promise<unknown> {
  return ((await response.json()) as { error: { code: unknown } }).error.code;
}

function framesOf(text: string): Record<string, unknown>[] {
  return text
    .split("\n\n")
    .filter((frame) => frame.startsWith("data: "))
    .map((frame) => (frame.includes("[DONE]") ? {} : (JSON.parse(frame.slice(6)) as Record<string, unknown>)));
}

function written(text: string): string {
  return framesOf(text)
    .map((frame) => (frame["choices"] as { delta?: { content?: string } }[] | undefined)?.[0]?.delta?.content ?? "")
    .join("");
}
