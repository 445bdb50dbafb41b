import { type AddressInfo, createServer, type Server } from "node:net";
import type { ProviderTest } from "@nexus/contracts/gateway-configuration";
import {
  captureLogs,
  chatAnswer,
  type FakeUpstream,
  type GatewayScene,
  htmlError,
  openGatewayScene,
  silence,
  startFakeUpstream,
  type UpstreamScript,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";
import { diagnose } from "./diagnose.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let garbage: Server;
let gateway: RunningService;
let admin: string;
const logs = captureLogs();
const secret = "zk-live-0123456789abcdefWXYZ";

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  garbage = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("SSH-2.0-OpenSSH_9.9\r\n");
  });
  await new Promise<void>((resolve) => void garbage.listen(0, "127.0.0.1", resolve));
  const { port } = garbage.address() as AddressInfo;
  const to = (url: string, more = "") => `{ base_url: "${url}", allow_private_network: true, api_key_env: KEY, ${more} }`;
  const yaml = `providers:
  main: ${to(provider.baseUrl, "first_byte_timeout_ms: 300")}
  claude: ${to(provider.baseUrl, "wire_formats: [anthropic-messages], auth_header: x-api-key")}
  bare: ${to(provider.baseUrl)}
  closed: ${to("http://127.0.0.1:1/v1")}
  nowhere: ${to("https://nobody.invalid/v1")}
  not-tls: ${to(provider.baseUrl.replace("http:", "https:"))}
  not-http: ${to(`http://127.0.0.1:${port}/v1`)}
models:
  - { id: one, provider: main, upstream_model: their-one, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
  - { id: two, provider: claude, upstream_model: their-two, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
`;
  gateway = await startTestGateway(scene, { yaml, secrets: { KEY: secret }, logs });
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  garbage.close();
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
});

async function tryOut(name: string, body: object = {}, bearer = admin): Promise<{ status: number; body: ProviderTest }> {
  const answer = await post(`${gateway.url}/v1/admin/providers/${name}/test`, bearer, body);
  return { status: answer.status, body: (await answer.json()) as ProviderTest };
}

function json(status: number, body: unknown): UpstreamScript {
  return (response) => void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

test("the smallest call of its format is made with its key, and every part is timed", async () => {
  const { status, body } = await tryOut("main");
  expect([status, body.ok, body.diagnosis.code, body.status]).toStrictEqual([200, true, "ok", 200]);
  expect(body.timings_ms).toMatchObject({ tls: null, connect: expect.any(Number), first_byte: expect.any(Number) });
  expect(body.timings_ms.total).toBeGreaterThan(0);
  const [received] = provider.received;
  expect(received?.path).toBe("/v1/chat/completions");
  expect(received?.headers.authorization).toBe(`Bearer ${secret}`);
  expect(JSON.parse(received!.body.toString())).toMatchObject({ model: "their-one", max_tokens: 1 });
  await tryOut("claude", { model: "told" });
  expect(provider.received[1]).toMatchObject({ path: "/v1/messages", headers: { "x-api-key": secret } });
  expect(JSON.parse(provider.received[1]!.body.toString())).toMatchObject({ model: "told", max_tokens: 1 });
  await tryOut("bare");
  expect(provider.received[2]).toMatchObject({ method: "GET", path: "/v1/models" });
});

const refusal = `Incorrect API key provided: ${secret}, also known as zk-live-****WXYZ.`;
test.each<[string, UpstreamScript]>([
  ["wrong_key", json(401, { error: { message: refusal } })],
  ["forbidden", json(403, { error: { message: "no" } })],
  ["model_unknown", json(404, { error: { code: "model_not_found", message: "The model does not exist" } })],
  ["wrong_base_url", json(404, { detail: "Not Found" })],
  ["html", htmlError(404)],
  ["html", (response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in</html>")],
  ["not_json", (response) => void response.writeHead(200, { "content-type": "application/json" }).end("{half")],
  ["redirect", (response) => void response.writeHead(302, { location: "http://169.254.169.254/" }).end()],
  ["rate_limited", json(429, { error: { message: "slow down" } })],
  ["no_credit", json(429, { error: { code: "insufficient_quota" } })],
  ["provider_failed", htmlError(502)],
  ["request_refused", json(400, { error: { message: "temperature" } })],
  ["timeout", silence()],
  ["broken", (response) => void response.destroy()],
])("%s is told in words, and no secret is", async (code, script) => {
  provider.answerWith(script);
  const { body } = await tryOut("main");
  expect([body.ok, body.diagnosis.code]).toStrictEqual([false, code]);
  expect(JSON.stringify(body)).not.toContain("zk-live");
  expect(JSON.stringify(body)).not.toContain("WXYZ");
  expect(provider.received).toHaveLength(1);
});

test.each([
  ["closed", "refused"],
  ["not-tls", "tls"],
  ["not-http", "not_http"],
  ["nowhere", "dns"],
])("the provider %s: %s", async (name, code) => {
  const { body } = await tryOut(name);
  expect([body.ok, body.diagnosis.code, body.status]).toStrictEqual([false, code, null]);
});

test.each([
  ["EPRIVATEADDRESS", "private_address"],
  ["ETIMEDOUT", "connect_timeout"],
  ["CERT_HAS_EXPIRED", "tls_certificate"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "tls_certificate"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "tls_certificate"],
  ["ECONNRESET", "tls"],
])("%s means %s", (code, said) => {
  const times = { dns: 1, connect: 1, tls: null, firstByte: null, total: 2 };
  const probe = { times, status: null, contentType: "", location: undefined, body: "", error: { code, message: "" } };
  expect(diagnose(probe, { hasModel: true, baseUrl: "https://example.com" }).code).toBe(said);
});

test("a long answer is cut", async () => {
  provider.answerWith((response) => {
    response.writeHead(200, { "content-type": "application/json" });
    const piece = Buffer.alloc(64 * 1024, "x");
    const more = (): void => void (response.destroyed || response.write(piece, more));
    more();
  });
  const { body } = await tryOut("main");
  expect(body.answer?.length).toBeLessThanOrEqual(2000);
});

test("a test is on record, and only administrators make one", async () => {
  await tryOut("main");
  const { rows } = {
    rows: await scene.owner.db.selectFrom("audit_log").selectAll().where("action", "=", "gateway_provider.tested").execute(),
  };
  expect(rows.length).toBeGreaterThan(0);
  expect(JSON.stringify(rows.map(({ details }) => details))).not.toContain(secret);
  const user = scene.issuer.token(scene.issuer.person(), "puaboai-sdk");
  expect((await tryOut("main", {}, user)).status).toBe(403);
  expect((await tryOut("absent")).status).toBe(404);
  expect(logs.text()).not.toContain(secret);
});
