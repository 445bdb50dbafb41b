import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { createServer, connect as connectSocket, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type ConfigError, loadConfig } from "@nexus/config";
import { uuidOf } from "@nexus/core";
import {
  captureLogs,
  chatAnswer,
  chatStream,
  type FakeUpstream,
  freePort,
  type GatewayScene,
  openGatewayScene,
  silence,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { configRules, configSchema, type RunningService } from "./service.ts";
import { startTestGateway } from "./start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let cable: Cable;
let settings: string;
const closing: (() => Promise<void>)[] = [];
const mainFile = fileURLToPath(new URL("./main.ts", import.meta.url));

/** The way to PostgreSQL, which can be cut and mended. */
interface Cable {
  port: number;
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const chat = "kind: chat, context_tokens: 8000, max_output_tokens: 1000";
  settings = scene.writeSettings(`
providers: { fake: { base_url: "${provider.baseUrl}", allow_private_network: true } }
models:
  - { id: free, provider: fake, ${chat}, price: free }
  - { id: priced, provider: fake, ${chat}, price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 } }
`);
});
afterAll(async () => {
  await provider.close();
  await scene.close();
});
beforeEach(async () => {
  cable = await openCable(Number(scene.environment["DB_PORT"]));
  closing.push(() => cable.close());
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
  rmSync(scene.environment["NEXUS_SPOOL_DIR"]!, { recursive: true, force: true });
});

async function openCable(target: number): Promise<Cable> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server: Server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connectSocket(target, "127.0.0.1");
    for (const [a, b] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(a);
      a.on("error", () => {}).on("close", () => {
        sockets.delete(a);
        b.destroy();
      });
      a.pipe(b);
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend: () => {
      isCut = false;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function environment(change: Record<string, string> = {}): Record<string, string> {
  return { ...scene.environment, DB_PORT: String(cable.port), NEXUS_GATEWAY_CONFIG: settings, ...change };
}

async function start(change: Record<string, string> = {}): Promise<RunningService & { logs: ReturnType<typeof captureLogs> }> {
  const logs = captureLogs();
  const running = await startTestGateway(scene, { variables: environment(change), logs });
  closing.push(() => running.close());
  return { ...running, logs };
}

const chat = (url: string, key: string, body: object) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ messages: [{ role: "user", content: "hello" }], ...body }),
  });
const usageOf = (organizationId: string) =>
  scene.owner.db
    .selectFrom("usage_events")
    .selectAll()
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .execute();
const budgetOf = (organizationId: string) =>
  scene.owner.db
    .selectFrom("budgets")
    .leftJoin("budget_accounts", "budget_accounts.budget_id", "budgets.id")
    .select([
      sql<bigint>`coalesce(settled_nanos, 0)`.as("settled_nanos"),
      sql<bigint>`coalesce(granted_nanos, 0)`.as("granted_nanos"),
    ])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .executeTakeFirstOrThrow();
const healthOf = async (url: string) => {
  const answer = await fetch(`${url}/health`);
  const { checks } = (await answer.json()) as { checks: Record<string, { status: string }[]> };
  return {
    status: answer.status,
    checks: Object.fromEntries(Object.entries(checks).map(([name, [check]]) => [name, check!.status])),
  };
};

test("health tells each broken dependency, and is 503 where the gateway cannot do its job", async () => {
  const gateway = await start();
  expect(await healthOf(gateway.url)).toMatchObject({
    status: 200,
    checks: { "postgresql:connection": "pass", "spool:writable": "pass", "pv-keys:livez": "pass", "puabo-api:livez": "pass" },
  });
  cable.cut();
  await waitFor(async () => (await healthOf(gateway.url)).checks["postgresql:connection"] === "fail");
  expect((await healthOf(gateway.url)).status).toBe(503);
  cable.mend();
  await waitFor(async () => (await healthOf(gateway.url)).status === 200);
  const spool = scene.environment["NEXUS_SPOOL_DIR"]!;
  renameSync(spool, `${spool}.away`);
  await waitFor(async () => (await healthOf(gateway.url)).checks["spool:writable"] === "fail");
  expect((await healthOf(gateway.url)).status).toBe(503);
  renameSync(`${spool}.away`, spool);
  await waitFor(async () => (await healthOf(gateway.url)).status === 200);
});

test("without pv-keys and puabo-api the gateway is degraded, not down", async () => {
  const gateway = await start({ PV_KEYS_INTERNAL_URL: "http://127.0.0.1:1", PUABO_API_URL: "http://127.0.0.1:1" });
  expect(await healthOf(gateway.url)).toMatchObject({
    status: 200,
    checks: { "pv-keys:livez": "warn", "puabo-api:livez": "warn" },
  });
  const { key } = await scene.issueKey();
  for (const credential of [key, scene.issuer.token(scene.issuer.person(), "puaboai-sdk")]) {
    const answer = await chat(gateway.url, credential, { model: "free" });
    expect([answer.status, answer.headers.has("retry-after")]).toStrictEqual([503, true]);
    expect(await answer.text()).not.toContain("127.0.0.1");
  }
});

test("while PostgreSQL is away known keys call free models, priced calls wait, and every row comes once", async () => {
  const gateway = await start();
  const { key, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 12n });
  expect((await chat(gateway.url, key, { model: "free" })).status).toBe(200);
  await waitFor(async () => (await usageOf(organizationId)).length === 1);
  cable.cut();
  for (let i = 0; i < 20; i++) expect((await chat(gateway.url, key, { model: "free" })).status).toBe(200);
  const priced = await chat(gateway.url, key, { model: "priced" });
  expect([priced.status, priced.headers.has("retry-after")]).toStrictEqual([503, true]);
  expect((await fetch(`${gateway.url}/v1/usage`, { headers: { authorization: `Bearer ${key}` } })).status).toBe(503);
  cable.mend();
  await waitFor(async () => (await usageOf(organizationId)).length === 22);
  expect((await chat(gateway.url, key, { model: "priced" })).status).toBe(200);
  await waitFor(async () => (await budgetOf(organizationId)).settled_nanos === 81_000n);
});

test("a gateway that stops while PostgreSQL is away leaves its rows to the next start", async () => {
  const gateway = await start();
  const { key, organizationId } = await scene.issueKey();
  await chat(gateway.url, key, { model: "free" });
  cable.cut();
  for (let i = 0; i < 5; i++) await chat(gateway.url, key, { model: "free" });
  await closing.pop()!();
  cable.mend();
  await start();
  await waitFor(async () => (await usageOf(organizationId)).length === 6);
});

test("a gateway starts without PostgreSQL, says so, and is ready when it is back", async () => {
  cable.cut();
  const gateway = await start();
  expect((await fetch(`${gateway.url}/livez`)).status).toBe(200);
  expect((await fetch(`${gateway.url}/readyz`)).status).toBe(503);
  cable.mend();
  await waitFor(async () => (await fetch(`${gateway.url}/readyz`)).status === 200);
});

test("a journal that is full or cannot be written begins no call", async () => {
  const gateway = await start({ NEXUS_SPOOL_MAX_BYTES: "65536" });
  const { key } = await scene.issueKey();
  await chat(gateway.url, key, { model: "free" });
  cable.cut();
  const answers: Response[] = [];
  for (let i = 0; i < 150 && answers.at(-1)?.status !== 503; i++) answers.push(await chat(gateway.url, key, { model: "free" }));
  expect(answers.length).toBeGreaterThan(10);
  expect(answers.at(-1)!.status).toBe(503);
  const reached = provider.received.length;
  expect((await chat(gateway.url, key, { model: "free" })).status).toBe(503);
  expect(provider.received).toHaveLength(reached);
  cable.mend();
  await waitFor(async () => (await chat(gateway.url, key, { model: "free" })).status === 200);
});

async function spawnGateway(): Promise<{ url: string; child: ChildProcess; output(): string }> {
  const port = await freePort();
  const internal = await freePort();
  const child = spawn(process.execPath, [mainFile], {
    env: environment({ PORT: String(port), NEXUS_PUABOAI_SDK_INTERNAL_PORT: String(internal) }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  closing.push(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
    }
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor(async () => (await fetch(`${url}/readyz`)).ok, { timeoutMs: 20_000 });
  return { url, child, output: () => output };
}

test("kill -9 in the middle of the work: no usage row is lost or doubled, and the budget says what the rows say", async () => {
  const { key, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 12n });
  const answered = new Set<string>();
  for (let round = 0; round < 2; round++) {
    const { url, child } = await spawnGateway();
    provider.answerWith(async (response, request) => {
      const slow = provider.received.length % 7 === 0;
      if (slow) return await silence()(response, request);
      return await (request.body.includes('"stream":true') ? chatStream({ delayMs: 2 }) : chatAnswer({ delayMs: 3 }))(
        response,
        request,
      );
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const work = Array.from({ length: 12 }, async (_, worker) => {
      for (let i = 0; i < 100 && child.signalCode === null; i++) {
        try {
          const answer = await chat(url, key, {
            model: worker % 3 === 0 ? "free" : "priced",
            max_tokens: 20,
            stream: worker % 2 === 0,
          });
          const text = await answer.text();
          if (answer.status === 200 && (worker % 2 === 1 || text.includes("[DONE]")))
            answered.add(answer.headers.get("x-request-id")!);
        } catch {
          return;
        }
      }
    });
    const before = answered.size;
    await waitFor(() => answered.size > before + 60, { timeoutMs: 20_000 });
    child.kill("SIGKILL");
    await Promise.all([...work, exited]);
  }
  const { child } = await spawnGateway();
  await waitFor(async () => (await budgetOf(organizationId)).granted_nanos === 0n);
  const rows = await usageOf(organizationId);
  const ids = rows.map((row) => `req_${row.request_id}`);
  expect(new Set(ids).size).toBe(ids.length);
  expect([...answered].filter((id) => !ids.includes(id))).toStrictEqual([]);
  expect((await budgetOf(organizationId)).settled_nanos).toBe(rows.reduce((sum, row) => sum + row.cost_nanos, 0n));
  expect(rows.filter((row) => row.outcome === "crash").length).toBeGreaterThan(0);
  for (const row of rows) if (row.outcome === "crash") expect(row.cost_nanos).toBe(row.reserved_nanos);
  // Written down before its first byte leaves: a call that was killed in between has a row, and the provider never saw it.
  const reached = provider.received.map(({ headers }) => headers["x-request-id"] as string);
  expect(reached.filter((id) => !ids.includes(id))).toStrictEqual([]);
  expect(rows.length - reached.length).toBeLessThanOrEqual(24);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
  expect(readdirSync(scene.environment["NEXUS_SPOOL_DIR"]!)).toStrictEqual([]);
  expect(
    (await scene.owner.db.selectFrom("budget_grants").selectAll().execute()).filter((grant) => grant.granted_nanos > 0n),
  ).toStrictEqual([]);
}, 90_000);

test("SIGTERM lets a running stream end and leaves nothing behind", async () => {
  const { key, organizationId } = await scene.issueKey({ budgetNanos: 10n ** 12n });
  const { url, child } = await spawnGateway();
  provider.answerWith(chatStream({ texts: ["a", "b", "c", "d", "e"], delayMs: 100 }));
  const answer = await chat(url, key, { model: "priced", stream: true });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  expect((await answer.text()).endsWith("data: [DONE]\n\n")).toBe(true);
  expect(await exited).toBe(0);
  expect(await usageOf(organizationId)).toMatchObject([{ outcome: "ok", usage_source: "provider" }]);
  expect(await budgetOf(organizationId)).toStrictEqual({ settled_nanos: 81_000n, granted_nanos: 0n });
});

test("every fault of the configuration is told at once, before anything starts", () => {
  const path = scene.writeSettings("providers: { a: { base_url: nonsense } }\nmodels: 3\n");
  try {
    loadConfig(
      configSchema,
      environment({ NEXUS_GATEWAY_CONFIG: path, PORT: "x", NEXUS_SPOOL_MAX_BYTES: "1", NEXUS_DEFAULT_BUDGET_NANOS: "1.5" }),
      configRules,
    );
    expect.unreachable();
  } catch (error) {
    const text = (error as ConfigError).message;
    for (const named of [
      "NEXUS_GATEWAY_CONFIG",
      ":1: providers.a.base_url",
      ":2: models",
      "PORT",
      "NEXUS_SPOOL_MAX_BYTES",
      "NEXUS_DEFAULT_BUDGET_NANOS",
    ])
      expect(text).toContain(named);
  }
  expect(existsSync(scene.environment["NEXUS_SPOOL_DIR"]!)).toBe(false);
});

test("a provider's key that is nowhere ends the start with its name", async () => {
  const path = scene.writeSettings('providers: { a: { base_url: "https://example.com/v1", api_key_env: MISSING_KEY } }');
  await expect(start({ NEXUS_GATEWAY_CONFIG: path })).rejects.toThrow(/MISSING_KEY is missing/);
});

test("an organization's first priced call makes the default budget, with its audit entry", async () => {
  const gateway = await start({ NEXUS_DEFAULT_BUDGET_NANOS: "50000000" });
  const { key, organizationId } = await scene.issueKey();
  const answers = await Promise.all([1, 2, 3].map(() => chat(gateway.url, key, { model: "priced", max_tokens: 10 })));
  expect(answers.map((answer) => answer.status)).toStrictEqual([200, 200, 200]);
  const entries = await scene.owner.db
    .selectFrom("audit_log")
    .select(["action", "actor"])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .execute();
  expect(entries).toMatchObject([{ action: "budget.created", actor: { kind: "system" } }]);
});
