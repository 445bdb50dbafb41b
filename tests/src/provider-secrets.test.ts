/** The keys of model providers live in pv-keys: how the gateway gets them, as real processes with a provider that shows what it got. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CreatedKey } from "@nexus/contracts/keys";
import type { Secret } from "@nexus/contracts/secrets";
import { waitFor } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ServiceProcess, startServiceProcess } from "./fleet/child.ts";
import { type Relay, startRelay } from "./fleet/relay.ts";
import { folderOf, openScene, type Scene } from "./fleet/scene.ts";

const values: string[] = [];
const [first, second, third, fourth] = [fresh(), fresh(), fresh(), fresh()];
let scene: Scene;
let wires: { postgres: Relay; redis: Relay };
let keys: ServiceProcess;
let gateway: ServiceProcess;
let key: string;
let secret: Secret;

beforeAll(async () => {
  scene = await openScene({ blindSeconds: 60 });
  wires = { postgres: await startRelay(scene.database.keys.port), redis: await startRelay(scene.redis.port) };
  const keyEncryptionKeys = `1:${randomBytes(32).toString("base64url")}`;
  keys = await startServiceProcess({
    service: "pv-keys",
    directory: folderOf(scene, "keys"),
    environment: ({ port, internalPort }) => ({
      ...scene.environment("keys", wires),
      PORT: String(port),
      NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort),
      NEXUS_KEY_ENCRYPTION_KEYS: keyEncryptionKeys,
    }),
  });
  const made = await toKeys("POST", "/v1/keys", { name: "caller" });
  key = ((await made.json()) as CreatedKey).secret;
  const kept = await toKeys("POST", "/v1/secrets", {
    name: "kept-provider",
    value: first,
    readers: ["puaboai-sdk"],
    scope: "installation",
  });
  ({ secret } = (await kept.json()) as { secret: Secret });
  await keys.kill();
});
afterAll(async () => {
  await Promise.all([gateway.kill(), keys.kill()]);
  await Promise.all(Object.values(wires).map((wire) => wire.close()));
  await scene.close();
});

it("without pv-keys the gateway starts, the provider that waits for its key answers 503, and others work", async () => {
  const settings = join(scene.directory, "vault.yaml");
  const chat = "kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free";
  const fake = `base_url: "${scene.upstream.baseUrl}", allow_private_network: true`;
  writeFileSync(
    settings,
    `providers:
  open: { ${fake} }
  kept: { ${fake}, api_key_secret: kept-provider }
  later: { ${fake}, api_key_secret: later-provider, auth_header: X-Provider-Key }
models:
  - { id: open, provider: open, ${chat} }
  - { id: kept, provider: kept, ${chat} }
  - { id: later, provider: later, ${chat} }
`,
  );
  gateway = await startServiceProcess({
    service: "puaboai-sdk",
    directory: folderOf(scene, "gateway"),
    environment: ({ port, internalPort }) => ({
      ...scene.environment("ai", wires),
      NEXUS_LOG_LEVEL: "debug",
      PORT: String(port),
      NEXUS_PUABOAI_SDK_INTERNAL_PORT: String(internalPort),
      NEXUS_GATEWAY_CONFIG: settings,
      NEXUS_SPOOL_DIR: join(scene.directory, "gateway/spool"),
      NEXUS_FIND_LOCAL_MODELS: "false",
      PV_KEYS_INTERNAL_URL: `http://127.0.0.1:${keys.internalPort}`,
    }),
  });
  expect(await ask("open")).toBe(200);
  const waiting = await chatWith("kept");
  expect(waiting.status).toBe(503);
  expect(waiting.headers.get("retry-after")).toBe("2");
  expect(scene.upstream.received.length).toBe(1);
  expect(await health()).toMatchObject({ checks: { "provider-secrets:known": [{ status: "warn" }] } });
});

it("pv-keys is there: the provider is shown its key, and the one that has none yet still waits", async () => {
  await keys.start();
  await waitFor(async () => (await ask("kept")) === 200, { timeoutMs: 35_000, what: "the provider's key" });
  expect(lastShown("authorization")).toBe(`Bearer ${first}`);
  expect(await ask("later")).toBe(503);
  expect(await ask("open")).toBe(200);
  expect(lastShown("authorization")).toBeUndefined();
});

it("a secret that is made now is used, without a restart, in the header that the provider wants", async () => {
  const body = { name: "later-provider", value: second, readers: ["puaboai-sdk"], scope: "installation" };
  expect((await toKeys("POST", "/v1/secrets", body)).status).toBe(201);
  await waitFor(async () => (await ask("later")) === 200);
  expect(lastShown("x-provider-key")).toBe(second);
  expect(lastShown("authorization")).toBeUndefined();
  await waitFor(async () =>
    JSON.stringify(await health()).includes("provider-secrets") ? (await health()).status === "pass" : false,
  );
});

it("a rotated key is shown to the provider within a moment, and no call fails meanwhile", async () => {
  const before = gateway.pid;
  const answer = await toKeys("POST", `/v1/secrets/${secret.id}/versions`, { value: third });
  expect(answer.status).toBe(201);
  const since = performance.now();
  const statuses: number[] = [];
  await waitFor(async () => {
    statuses.push(await ask("kept"));
    return lastShown("authorization") === `Bearer ${third}`;
  });
  const tookMs = performance.now() - since;
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(tookMs).toBeLessThan(2000);
  expect(gateway.pid).toBe(before);
});

it("a new value that no header can carry is not used: the one before goes on", async () => {
  expect((await toKeys("POST", `/v1/secrets/${secret.id}/versions`, { value: `two\n${fresh()}` })).status).toBe(201);
  await waitFor(() => gateway.output().includes("it is not used"));
  expect(await ask("kept")).toBe(200);
  expect(lastShown("authorization")).toBe(`Bearer ${third}`);
});

it("while pv-keys is away the known key goes on, and what was changed meanwhile is used when it is back", async () => {
  await keys.kill();
  expect(await ask("kept")).toBe(200);
  expect(lastShown("authorization")).toBe(`Bearer ${third}`);
  await keys.start();
  await toKeys("POST", `/v1/secrets/${secret.id}/versions`, { value: fourth });
  await keys.kill();
  await keys.start();
  await waitFor(async () => (await ask("kept")) === 200 && lastShown("authorization") === `Bearer ${fourth}`, {
    timeoutMs: 35_000,
  });
});

it("without its right to read, or without the secret, the provider waits again", async () => {
  await toKeys("DELETE", `/v1/secrets/${secret.id}`);
  await waitFor(async () => (await ask("kept")) === 503);
  expect(await ask("later")).toBe(200);
});

it("every reading is in the audit log, and no value anywhere in what the processes printed", async () => {
  const { db } = scene.database.openOwner();
  const reads = await db.selectFrom("audit_log").select(["actor", "outcome"]).where("action", "=", "secret.read").execute();
  expect(reads.length).toBeGreaterThanOrEqual(4);
  expect(reads.every(({ actor }) => (actor as { id: string }).id === "puaboai-sdk")).toBe(true);
  for (const value of values) {
    expect(gateway.output()).not.toContain(value);
    expect(keys.output()).not.toContain(value);
  }
});

function fresh(): string {
  const value = `sk-${randomBytes(24).toString("base64url")}`;
  values.push(value);
  return value;
}

function toKeys(method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`http://127.0.0.1:${keys.port}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${scene.issuer.token(scene.person, "pv-keys")}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

function chatWith(model: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${gateway.port}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] }),
  });
}

async function ask(model: string): Promise<number> {
  const answer = await chatWith(model);
  await answer.arrayBuffer();
  return answer.status;
}

function lastShown(header: string): unknown {
  return scene.upstream.received.at(-1)?.headers[header];
}

async function health(): Promise<{ status: string }> {
  return (await (await fetch(`http://127.0.0.1:${gateway.port}/health`)).json()) as { status: string };
}
