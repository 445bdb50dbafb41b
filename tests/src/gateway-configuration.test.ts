/** The gateways' configuration changes while calls run: real processes, one file for all, and what is set by API in between. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Configuration } from "@nexus/contracts/gateway-configuration";
import type { CreatedKey } from "@nexus/contracts/keys";
import { chatAnswer, chatStream, type FakeUpstream, startFakeUpstream, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ServiceProcess, startServiceProcess } from "./fleet/child.ts";
import { type Relay, startRelay } from "./fleet/relay.ts";
import { folderOf, openScene, type Scene } from "./fleet/scene.ts";

interface Replica {
  process: ServiceProcess;
  wires: { postgres: Relay; redis: Relay };
}

let scene: Scene;
let other: FakeUpstream;
let keys: ServiceProcess;
let keysWires: Replica["wires"];
const replicas: Replica[] = [];
let settings: string;
let key: string;
let admin: string;

const limits = "kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free";

/** Put in place as a whole, as tools that deploy do. */
function writeFile(upstream: FakeUpstream, more = ""): void {
  const provider = `{ base_url: "${upstream.baseUrl}", allow_private_network: true }`;
  const text = `providers: { main: ${provider} }\nmodels:\n  - { id: chat, provider: main, ${limits} }\n${more}`;
  writeFileSync(`${settings}.new`, text);
  renameSync(`${settings}.new`, settings);
}

async function openWires(): Promise<Replica["wires"]> {
  return { postgres: await startRelay(scene.database.keys.port), redis: await startRelay(scene.redis.port) };
}

async function startReplica(name: string, wires?: Replica["wires"]): Promise<Replica> {
  const own = wires ?? (await openWires());
  const process = await startServiceProcess({
    service: "puaboai-sdk",
    directory: folderOf(scene, name),
    environment: ({ port, internalPort }) => ({
      ...scene.environment("ai", own),
      PORT: String(port),
      NEXUS_PUABOAI_SDK_INTERNAL_PORT: String(internalPort),
      NEXUS_GATEWAY_CONFIG: settings,
      NEXUS_GATEWAY_CONFIG_SECONDS: "0",
      NEXUS_SPOOL_DIR: join(scene.directory, name, "spool"),
      NEXUS_FIND_LOCAL_MODELS: "false",
      PV_KEYS_INTERNAL_URL: `http://127.0.0.1:${keys.internalPort}`,
    }),
  });
  const replica = { process, wires: own };
  replicas.push(replica);
  return replica;
}

beforeAll(async () => {
  scene = await openScene({ blindSeconds: 60 });
  other = await startFakeUpstream();
  settings = join(scene.directory, "live.yaml");
  writeFile(scene.upstream);
  keysWires = await openWires();
  keys = await startServiceProcess({
    service: "pv-keys",
    directory: folderOf(scene, "keys"),
    environment: ({ port, internalPort }) => ({
      ...scene.environment("keys", keysWires),
      PORT: String(port),
      NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort),
    }),
  });
  const made = await fetch(`http://127.0.0.1:${keys.port}/v1/keys`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${scene.issuer.token(scene.person, "pv-keys")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ name: "caller" }),
  });
  key = ((await made.json()) as CreatedKey).secret;
  admin = scene.issuer.token(scene.person, "puaboai-sdk");
  await Promise.all([startReplica("one"), startReplica("two")]);
}, 60_000);
afterAll(async () => {
  await Promise.all([keys, ...replicas.map(({ process }) => process)].map((service) => service.kill()));
  const wires = [keysWires, ...replicas.map((replica) => replica.wires)].flatMap((one) => Object.values(one));
  await Promise.all([...wires.map((wire) => wire.close()), other.close()]);
  await scene.close();
});

async function ask({ process }: Replica, model: string, stream = false): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${process.port}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, stream, messages: [{ role: "user", content: "hi" }] }),
  });
  return { status: answer.status, text: await answer.text() };
}

function control({ process }: Replica, method: string, path: string, body?: object): Promise<Response> {
  return fetch(`http://127.0.0.1:${process.port}/v1/admin/${path}`, {
    method,
    headers: { authorization: `Bearer ${admin}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  });
}

async function inForce(replica: Replica): Promise<Configuration> {
  return (await (await control(replica, "GET", "configuration")).json()) as Configuration;
}

/** Those that it has in force, as everybody can see: persons are let in by what PostgreSQL says. */
async function providersOf({ process }: Replica): Promise<string[]> {
  const health = (await (await fetch(`http://127.0.0.1:${process.port}/health`)).json()) as { checks: object };
  return Object.keys(health.checks).flatMap((name) => (name.startsWith("provider:") ? [name.slice("provider:".length)] : []));
}

it("twenty reloads under load, by request and by SIGHUP: no call fails, no stream is cut", async () => {
  for (const upstream of [scene.upstream, other]) {
    upstream.answerWith((response, request) => {
      const wantsStream = request.body.includes('"stream":true');
      return (wantsStream ? chatStream({ texts: ["a", "b", "c"], delayMs: 15 }) : chatAnswer({ delayMs: 5 }))(response, request);
    });
  }
  const load = { isOver: false };
  const failures: unknown[] = [];
  const answered = { whole: 0, streams: 0 };
  const callers = Array.from({ length: 6 }, async (_, caller) => {
    while (!load.isOver) {
      const isStream = caller % 2 === 0;
      const { status, text } = await ask(replicas[caller % 2]!, "chat", isStream);
      if (status !== 200 || (isStream && !text.includes("[DONE]"))) failures.push({ status, text });
      answered[isStream ? "streams" : "whole"]++;
    }
  });
  for (let round = 1; round <= 20; round++) {
    writeFile(round % 2 === 0 ? scene.upstream : other);
    if (round % 4 === 0) for (const { process: replica } of replicas) process.kill(replica.pid, "SIGHUP");
    else expect((await control(replicas[round % 2]!, "POST", "reload")).status).toBe(200);
    const calls = answered.whole + answered.streams;
    await waitFor(() => answered.whole + answered.streams > calls + 4);
  }
  load.isOver = true;
  await Promise.all(callers);
  expect(failures).toStrictEqual([]);
  expect(answered.streams).toBeGreaterThan(20);
  expect(other.received.length).toBeGreaterThan(0);
  process.stdout.write(`${answered.whole} whole answers and ${answered.streams} streams during 20 reloads, 0 failed\n`);
}, 60_000);

it("a reload that one process is asked for is heard by all, and a bad file is refused by all", async () => {
  writeFile(scene.upstream, `  - { id: second, provider: main, ${limits} }\n`);
  expect((await control(replicas[0]!, "POST", "reload")).status).toBe(200);
  await waitFor(async () => (await ask(replicas[1]!, "second")).status === 200);
  writeFile(scene.upstream, "  - { id: third, provider: nobody }\n");
  expect((await control(replicas[0]!, "POST", "reload")).status).toBe(422);
  await waitFor(async () => (await inForce(replicas[1]!)).file?.refused?.errors[0]?.detail.includes(":4: models[1].provider"));
  for (const replica of replicas) expect((await ask(replica, "second")).status).toBe(200);
  writeFile(scene.upstream);
  expect((await control(replicas[0]!, "POST", "reload")).status).toBe(200);
});

it("what one is told the other does as well, with Redis and without it", async () => {
  const [one, two] = replicas as [Replica, Replica];
  const body = { provider: "main", kind: "chat", context_tokens: 8000, max_output_tokens: 1000, price: "free" };
  expect((await control(one, "PUT", "models/by-api", body)).status).toBe(200);
  await waitFor(async () => (await ask(two, "by-api")).status === 200);
  two.wires.redis.state = "cut";
  const toldAt = performance.now();
  expect((await control(one, "PUT", "models/by-api-too", body)).status).toBe(200);
  await waitFor(async () => (await ask(two, "by-api-too")).status === 200);
  expect(performance.now() - toldAt).toBeLessThan(5000);
  two.wires.redis.state = "open";
});

it("without PostgreSQL nothing is changed, what is in force stays, and a gateway that starts has the file's part at once", async () => {
  const [one] = replicas as [Replica];
  one.wires.postgres.state = "cut";
  const body = { provider: "main", kind: "chat", context_tokens: 8000, max_output_tokens: 1000, price: "free" };
  expect((await control(one, "PUT", "models/never", body)).status).toBe(503);
  expect((await ask(one, "by-api")).status).toBe(200);
  one.wires.postgres.state = "open";
  const provider = { base_url: other.baseUrl, allow_private_network: true };
  expect((await control(replicas[1]!, "PUT", "providers/added", provider)).status).toBe(200);
  const wires = await openWires();
  const third = await startReplica("three", wires);
  expect(await providersOf(third)).toStrictEqual(["main", "added"]);
  await third.process.kill();
  wires.postgres.state = "cut";
  await third.process.start({ untilReady: false });
  expect(await waitFor(async () => await providersOf(third), { timeoutMs: 20_000 })).toStrictEqual(["main"]);
  wires.postgres.state = "open";
  await waitFor(async () => (await providersOf(third)).length === 2, { timeoutMs: 20_000 });
  expect((await ask(third, "by-api")).status).toBe(200);
}, 60_000);
