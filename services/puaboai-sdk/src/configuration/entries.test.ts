import { writeFileSync } from "node:fs";
import {
  captureLogs,
  chatAnswer,
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
let provider: FakeUpstream;
let path: string;
let gateways: RunningService[];
let key: string;
let admin: string;
const logs = captureLogs();
const secrets = { MAIN_KEY: "main-secret-0123456789", NEXUS_AUDIT_KEY: "the-platforms-own" };
const fields = { kind: "chat", context_tokens: 8000, max_output_tokens: 1000, price: "free" };

function start(): Promise<RunningService> {
  const variables = { NEXUS_GATEWAY_CONFIG: path, NEXUS_GATEWAY_CONFIG_SECONDS: "0" };
  return startTestGateway(scene, { variables, secrets, logs });
}

function fileOf(extra = ""): string {
  return `providers:
  main: { base_url: "${provider.baseUrl}", allow_private_network: true, api_key_env: MAIN_KEY }
models:
  - { id: of-file, provider: main, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
${extra}`;
}

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  path = scene.writeSettings(fileOf());
  gateways = await Promise.all([start(), start()]);
  ({ key } = await scene.issueKey());
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.close()));
  await provider.close();
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
});

interface Asked {
  status: number;
  etag: string;
  body: {
    code?: string;
    detail?: string;
    state?: string;
    errors?: { pointer: string; detail: string }[];
    data?: { name: string; source: string; state: string; errors: { detail: string }[] }[];
    effective?: Record<string, unknown>;
  };
}

async function ask(
  method: string,
  route: string,
  options: { body?: object; headers?: object; bearer?: string } = {},
): Promise<Asked> {
  const { body, headers = {}, bearer = admin } = options;
  const answer = await fetch(`${gateways[0]!.url}/v1/admin/${route}`, {
    method,
    headers: { authorization: `Bearer ${bearer}`, ...(body && { "content-type": "application/json" }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, etag: answer.headers.get("etag") ?? "", body: text === "" ? {} : JSON.parse(text) };
}

async function statusOf(model: string, gateway = gateways[0]!): Promise<number> {
  const answer = await post(`${gateway.url}/v1/chat/completions`, key, { model, messages: [{ role: "user", content: "hi" }] });
  await answer.arrayBuffer();
  return answer.status;
}

const providerBody = () => ({ base_url: provider.baseUrl, allow_private_network: true, api_key_env: "MAIN_KEY" });

test("a provider, a model and a route are in force on every replica within seconds, and survive a restart", async () => {
  expect((await ask("PUT", "providers/added", { body: providerBody() })).status).toBe(200);
  const body = { ...fields, provider: "added", upstream_model: "their-name" };
  expect((await ask("PUT", "models/team/added", { body })).status).toBe(200);
  const route = await ask("PUT", "routes/fast", { body: { targets: ["team/added", "of-file"] } });
  expect(route.body.state).toBe("in_force");
  // The one that was asked has it when it answers.
  expect(await statusOf("fast")).toBe(200);
  const changedAt = performance.now();
  await waitFor(async () => (await statusOf("fast", gateways[1])) === 200);
  expect(performance.now() - changedAt).toBeLessThan(5000);
  expect(provider.received[0]?.headers.authorization).toBe("Bearer main-secret-0123456789");
  const third = await start();
  try {
    expect(await statusOf("team/added", third)).toBe(200);
  } finally {
    await third.close();
  }
  const listed = await ask("GET", "models");
  expect(listed.body.data?.map(({ name, source, state }) => [name, source, state])).toStrictEqual([
    ["of-file", "file", "in_force"],
    ["team/added", "api", "in_force"],
  ]);
  const rows = await scene.owner.db.selectFrom("audit_log").select("action").where("action", "like", "gateway_%").execute();
  expect(rows.map(({ action }) => action).toSorted()).toStrictEqual([
    "gateway_model.created",
    "gateway_provider.created",
    "gateway_route.created",
  ]);
});

test("a change that does not know what it changes is refused, and of two at once one is", async () => {
  const made = await ask("PUT", "models/counted", { body: { ...fields, provider: "main" }, headers: { "if-none-match": "*" } });
  expect(made.status).toBe(200);
  const again = { body: { ...fields, provider: "main", upstream_model: "other" } };
  expect((await ask("PUT", "models/counted", { ...again, headers: { "if-none-match": "*" } })).status).toBe(412);
  expect((await ask("PUT", "models/counted", again)).status).toBe(428);
  const headers = { "if-match": made.etag };
  const both = await Promise.all([
    ask("PUT", "models/counted", { ...again, headers }),
    ask("PUT", "models/counted", { ...again, headers }),
  ]);
  expect(both.map(({ status }) => status).toSorted((one, other) => one - other)).toStrictEqual([200, 412]);
  expect((await ask("DELETE", "models/counted", { headers })).status).toBe(412);
  const { etag, body } = await ask("GET", "models/counted");
  expect(body.effective?.["upstream_model"]).toBe("other");
  expect((await ask("DELETE", "models/counted", { headers: { "if-match": etag } })).status).toBe(204);
  expect(await statusOf("counted")).toBe(404);
  await waitFor(async () => (await statusOf("counted", gateways[1])) === 404);
  // Made again it is another one: its old etags fit no more.
  await ask("PUT", "models/counted", { body: { ...fields, provider: "main" } });
  expect((await ask("DELETE", "models/counted", { headers: { "if-match": made.etag } })).status).toBe(412);
});

test("faults are told with their place, and nothing is changed", async () => {
  const body = { ...fields, provider: "nobody", kind: "poetry", colour: "red" };
  const answer = await ask("PUT", "models/faulty", { body });
  expect([answer.status, answer.body.code]).toStrictEqual([422, "configuration_refused"]);
  expect(answer.body.errors?.map(({ pointer }) => pointer).toSorted()).toStrictEqual(["/colour", "/kind", "/provider"]);
  expect((await ask("GET", "models/faulty")).status).toBe(404);
  const price = { unit: "usd_per_million_tokens", input: "1", output: -2, source: "s", effective: "2026-01-01" };
  const priced = await ask("PUT", "models/faulty", { body: { ...fields, provider: "main", price } });
  expect(priced.body.errors?.map(({ pointer }) => pointer)).toStrictEqual(["/price/output"]);
});

test.each([
  ["a key in the body", { api_key: "sk-live-1" }, "/api_key"],
  ["a file of the machine", { api_key_file: "/etc/passwd" }, "/api_key_file"],
  ["a variable of the platform", { api_key_env: "NEXUS_AUDIT_KEY" }, "/api_key_env"],
  ["a variable that is not there", { api_key_env: "ABSENT" }, "/api_key_env"],
  ["a secret as a header", { headers: { "x-api-key": "sk-live-1" } }, "/headers/x-api-key"],
  ["an inside address", { base_url: "https://169.254.169.254/latest", allow_private_network: false }, "/base_url"],
])("%s is refused for a provider", async (_what, change, pointer) => {
  const { api_key_env: named, ...rest } = providerBody();
  const body =
    "api_key_env" in change || "api_key" in change ? { ...rest, ...change } : { ...rest, ...change, api_key_env: named };
  if ("api_key_file" in change) delete (body as { api_key_env?: string }).api_key_env;
  const answer = await ask("PUT", "providers/bad", { body });
  expect(answer.status).toBe(422);
  expect(answer.body.errors?.map((error) => error.pointer)).toContain(pointer);
  expect(JSON.stringify(answer.body)).not.toContain("sk-live-1");
  expect(JSON.stringify(answer.body)).not.toContain("the-platforms-own");
});

test("what the file says is read-only, and what is used is not taken away", async () => {
  expect((await ask("PUT", "models/of-file", { body: { ...fields, provider: "main" } })).status).toBe(409);
  expect((await ask("DELETE", "models/of-file")).status).toBe(409);
  expect((await ask("PUT", "providers/main", { body: providerBody() })).status).toBe(409);
  await ask("PUT", "providers/used", { body: providerBody() });
  await ask("PUT", "models/user", { body: { ...fields, provider: "used" } });
  const { etag } = await ask("GET", "providers/used");
  const refused = await ask("DELETE", "providers/used", { headers: { "if-match": etag } });
  expect([refused.status, refused.body.detail]).toStrictEqual([409, "It is used as it is by the model user."]);
  expect(await statusOf("user")).toBe(200);
});

test("a file that takes the name of an entry wins, the entry is set aside alone, and comes back", async () => {
  await ask("PUT", "models/taken", { body: { ...fields, provider: "main", upstream_model: "by-api" } });
  await ask("PUT", "models/left", { body: { ...fields, provider: "main" } });
  writeFileSync(
    path,
    fileOf(
      "  - { id: taken, provider: main, upstream_model: by-file, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }\n",
    ),
  );
  await gateways[0]!.reload();
  expect(await statusOf("taken")).toBe(200);
  expect(JSON.parse(provider.received.at(-1)!.body.toString()).model).toBe("by-file");
  expect(await statusOf("left")).toBe(200);
  const listed = await ask("GET", "models");
  const entry = listed.body.data?.find(({ name, source }) => name === "taken" && source === "api");
  expect([entry?.state, entry?.errors[0]?.detail]).toStrictEqual(["set_aside", "is a model of gateway.yaml"]);
  const health = await waitFor(async () => {
    const text = await (await fetch(`${gateways[0]!.url}/health`)).text();
    return text.includes("do not count: 1") && text;
  });
  expect(health).toContain("configuration:current");
  writeFileSync(path, fileOf());
  await gateways[0]!.reload();
  expect(await statusOf("taken")).toBe(200);
  expect(JSON.parse(provider.received.at(-1)!.body.toString()).model).toBe("by-api");
});

test("only administrators read and change it", async () => {
  const user = scene.issuer.token(scene.issuer.person(), "puaboai-sdk");
  for (const bearer of [user, key]) {
    expect((await ask("GET", "providers", { bearer })).status).toBe(403);
    expect((await ask("PUT", "providers/x", { bearer, body: providerBody() })).status).toBe(403);
    expect((await ask("DELETE", "providers/x", { bearer })).status).toBe(403);
  }
});

test("no secret stands in the table, in answers or in the log", async () => {
  const rows = await scene.owner.db.selectFrom("gateway_entries").selectAll().execute();
  const shown = [JSON.stringify(rows), JSON.stringify((await ask("GET", "providers")).body), logs.text()];
  for (const text of shown) expect(text).not.toContain(secrets.MAIN_KEY);
});
