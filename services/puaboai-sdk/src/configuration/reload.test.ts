import { rmSync, utimesSync, writeFileSync } from "node:fs";
import {
  captureLogs,
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let first: FakeUpstream;
let second: FakeUpstream;
let gateway: RunningService;
let path: string;
let key: string;
let admin: string;
const logs = captureLogs();

const model = "kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free";
function yamlOf(provider: FakeUpstream, extra = ""): string {
  return `providers:
  main: { base_url: "${provider.baseUrl}", allow_private_network: true, api_key_env: MAIN_KEY }
models:
  - { id: chat, provider: main, ${model} }
${extra}`;
}

beforeAll(async () => {
  [scene, first, second] = await Promise.all([openGatewayScene(), startFakeUpstream(), startFakeUpstream()]);
  path = scene.writeSettings(yamlOf(first));
  gateway = await startTestGateway(scene, {
    variables: { NEXUS_GATEWAY_CONFIG: path, NEXUS_GATEWAY_CONFIG_SECONDS: "1" },
    secrets: { MAIN_KEY: "main-secret-0123456789" },
    logs,
  });
  ({ key } = await scene.issueKey());
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([first.close(), second.close()]);
  await scene.close();
});
beforeEach(async () => {
  for (const upstream of [first, second]) {
    upstream.received.length = 0;
    upstream.answerWith(chatAnswer());
  }
  writeFileSync(path, yamlOf(first));
  await gateway.reload();
});

function call(body: object = {}): Promise<Response> {
  return post(`${gateway.url}/v1/chat/completions`, key, { model: "chat", messages: [{ role: "user", content: "hi" }], ...body });
}

function ask(method: string, route: string, bearer = admin): Promise<Response> {
  return fetch(`${gateway.url}${route}`, { method, headers: { authorization: `Bearer ${bearer}` } });
}

async function checkOf(name: string): Promise<{ status: string; output?: string }> {
  const report = (await (await fetch(`${gateway.url}/health`)).json()) as { checks: Record<string, never[]> };
  return report.checks[name]?.[0] ?? { status: "absent" };
}

test("calls go on without one failure while the file is replaced again and again", async () => {
  const providers = [first, second];
  for (const upstream of providers) {
    upstream.answerWith((response, request) => {
      const wantsStream = request.body.includes('"stream":true');
      return (wantsStream ? chatStream({ delayMs: 2 }) : chatAnswer({ delayMs: 2 }))(response, request);
    });
  }
  const load = { isOver: false };
  let answered = 0;
  const statuses = new Set<number>();
  const callers = Array.from({ length: 8 }, async () => {
    while (!load.isOver) {
      const answer = await call({ stream: answered % 2 === 0 });
      await answer.arrayBuffer();
      statuses.add(answer.status);
      answered++;
    }
  });
  for (let round = 1; round <= 20; round++) {
    writeFileSync(path, yamlOf(providers[round % 2]!));
    expect((await ask("POST", "/v1/admin/reload")).status).toBe(200);
  }
  load.isOver = true;
  await Promise.all(callers);
  expect([...statuses]).toStrictEqual([200]);
  expect(answered).toBeGreaterThan(20);
  expect(second.received.length).toBeGreaterThan(0);
}, 30_000);

test("a call under way ends where it began, and new ones go to the new provider", async () => {
  first.answerWith(chatStream({ texts: ["a", "b", "c", "d"], delayMs: 150 }));
  const running = await call({ stream: true });
  writeFileSync(path, yamlOf(second));
  await gateway.reload();
  expect((await call()).status).toBe(200);
  expect(second.received).toHaveLength(1);
  expect(await running.text()).toContain("[DONE]");
  expect(first.received).toHaveLength(1);
  expect(first.received[0]?.abortedAt).toBeUndefined();
});

test("a file that is gone is told as gone, and what it said stays in force", async () => {
  rmSync(path);
  const answer = await ask("POST", "/v1/admin/reload");
  expect(answer.status).toBe(422);
  const { errors } = (await answer.json()) as { errors: { detail: string }[] };
  expect(errors.map(({ detail }) => detail.replace(/^gateway-[^:]*/, "file"))).toStrictEqual([
    "file: the file is not there (ENOENT)",
  ]);
  expect((await call()).status).toBe(200);
});

test("a file that was emptied is refused, and one that says so takes everything away", async () => {
  for (const text of ["", "\n \n"]) {
    writeFileSync(path, text);
    const answer = await ask("POST", "/v1/admin/reload");
    expect(answer.status).toBe(422);
    expect(await answer.text()).toContain("the file is empty; write {} if that is meant");
    expect((await call()).status).toBe(200);
  }
  writeFileSync(path, "{}\n");
  expect((await ask("POST", "/v1/admin/reload")).status).toBe(200);
  expect((await call()).status).toBe(404);
  // What offers nothing already has nothing to lose.
  writeFileSync(path, "");
  expect((await ask("POST", "/v1/admin/reload")).status).toBe(200);
});

test("a bad file is refused as a whole, with every line; what was in force stays, and everybody is told", async () => {
  writeFileSync(
    path,
    `${yamlOf(second)}  - { id: other, provider: nobody, ${model} }\nroutes: { r: { targets: [chat, absent] } }\n`,
  );
  const answer = await ask("POST", "/v1/admin/reload");
  expect(answer.status).toBe(422);
  const problem = (await answer.json()) as { code: string; errors: { detail: string }[] };
  expect(problem.code).toBe("configuration_refused");
  expect(
    problem.errors.map(({ detail }) =>
      detail
        .replace(/^gateway-[^:]*/, "file")
        .split(" ")
        .slice(0, 2),
    ),
  ).toStrictEqual([
    ["file:5:", "models[1].provider"],
    ["file:6:", "routes.r.targets[1]"],
  ]);
  expect((await call()).status).toBe(200);
  expect(second.received).toHaveLength(0);
  await waitFor(async () => (await checkOf("configuration:current")).status === "warn");
  expect((await checkOf("configuration:current")).output).toContain("faults: 2");
  expect(logs.text()).toContain("gateway.yaml is refused");
  const metrics = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
  expect(metrics).toMatch(/nexus_gateway_configuration_refused\{[^}]*\} 1/);
  expect(metrics).toMatch(/nexus_gateway_configuration_reloads_total\{[^}]*result="refused"[^}]*\} [1-9]/);
  const told = (await (await ask("GET", "/v1/admin/configuration")).json()) as { file: { refused: { errors: unknown[] } } };
  expect(told.file.refused.errors).toHaveLength(2);
  writeFileSync(path, yamlOf(second));
  expect((await ask("POST", "/v1/admin/reload")).status).toBe(200);
  await waitFor(async () => (await checkOf("configuration:current")).status === "pass");
  expect((await call()).status).toBe(200);
  expect(second.received).toHaveLength(1);
});

test("a provider's key that is missing is a fault of the file, told with its line and without a value", async () => {
  writeFileSync(path, yamlOf(first).replace("MAIN_KEY", "ABSENT_KEY"));
  const answer = await ask("POST", "/v1/admin/reload");
  expect(answer.status).toBe(422);
  expect(await answer.text()).toMatch(/:2: providers\.main\.api_key_env names a key that is missing or empty/);
  expect((await call()).status).toBe(200);
});

test("a file that is gone, and one that is no YAML, are refused", async () => {
  writeFileSync(path, "providers: [\n");
  expect((await ask("POST", "/v1/admin/reload")).status).toBe(422);
  writeFileSync(path, "\u0000\u0001");
  expect((await ask("POST", "/v1/admin/reload")).status).toBe(422);
  expect((await call()).status).toBe(200);
});

test("a changed file is noticed by itself", async () => {
  writeFileSync(path, yamlOf(second));
  utimesSync(path, new Date(), new Date(Date.now() + 5000));
  await waitFor(async () => {
    await call();
    return second.received.length > 0;
  });
});

test("only administrators may reload", async () => {
  const user = scene.issuer.token(scene.issuer.person(), "puaboai-sdk");
  expect((await ask("POST", "/v1/admin/reload", user)).status).toBe(403);
  expect((await ask("POST", "/v1/admin/reload", key)).status).toBe(403);
  expect((await ask("GET", "/v1/admin/configuration", user)).status).toBe(403);
  expect((await fetch(`${gateway.url}/v1/admin/reload`, { method: "POST" })).status).toBe(401);
});

test("a reload is on record", async () => {
  await ask("POST", "/v1/admin/reload");
  const rows = await scene.owner.db
    .selectFrom("audit_log")
    .select("action")
    .where("action", "=", "gateway.reload_requested")
    .execute();
  expect(rows.length).toBeGreaterThan(0);
});

test("a price that was set by API holds for the model of a new file from its first call on", async () => {
  const price = { unit: "usd_per_million_tokens", input: "3", output: "4", source: "test", effective: "2026-01-01" };
  const set = await post(`${gateway.url}/v1/admin/prices`, admin, { model: "chat", price });
  expect(set.status).toBeLessThan(300);
  writeFileSync(path, yamlOf(second));
  await gateway.reload();
  const models = (await (await ask("GET", "/v1/models", key)).json()) as { data: { id: string; price: unknown }[] };
  expect(models.data.find(({ id }) => id === "chat")?.price).not.toBe("free");
});
