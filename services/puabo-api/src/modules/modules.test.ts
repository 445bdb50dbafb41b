import { createServer, type Server } from "node:http";
import type { Clock } from "@nexus/core";
import { openDatabase } from "@nexus/db";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, fakeClock, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  openSurroundings,
  setUp,
  signUp,
  startTestService,
  type Surroundings,
  type TestService,
} from "../start-test-service.test.ts";
import type { Probe } from "./built-in-probes.ts";
import { openProber } from "./open-prober.ts";
import { openModuleStatusReader } from "./read-module-status.ts";

/** A neighbour's private `/health`, which says what the test wants. */
let neighbour: Server;
let neighbourUrl: string;
const healthy = {
  status: 200,
  body: JSON.stringify({
    status: "pass",
    version: "1.2.3",
    checks: { "postgresql:connection": [{ status: "pass", observedValue: 2 }] },
  }),
};
let answer: { status: number; body: string; delayed?: boolean; location?: string } = healthy;

beforeAll(async () => {
  neighbour = createServer((_request, response) => {
    response.statusCode = answer.status;
    if (answer.location !== undefined) response.setHeader("location", answer.location);
    if (answer.delayed !== true) response.end(answer.body);
  });
  await new Promise<void>((resolve) => neighbour.listen(0, "127.0.0.1", resolve));
  neighbourUrl = `http://127.0.0.1:${(neighbour.address() as { port: number }).port}`;
});
afterAll(() => {
  neighbour.closeAllConnections();
  neighbour.close();
});
beforeEach(() => {
  answer = healthy;
});

describe("the service", () => {
  let surroundings: Surroundings;
  let service: TestService;
  let admin: string;
  const status = async (module: string, cookie?: string) => (await service.call("GET", `/api/${module}/status`, { cookie })).json;

  beforeAll(async () => {
    surroundings = await openSurroundings({
      NEXUS_SIGN_UP: "open",
      NEXUS_MODULE_PROBE_SECONDS: "1",
      NEXUS_MODULE_FAILURES: "2",
      PV_KEYS_INTERNAL_URL: neighbourUrl,
      PUABOAI_SDK_INTERNAL_URL: "http://127.0.0.1:1",
    });
    service = await startTestService(surroundings);
    admin = await setUp(service);
  });
  afterAll(async () => {
    await service.close();
    await surroundings.close();
  });

  test("shows every built-in module to anybody, without the reasons of a fault", async () => {
    await waitFor(async () => (await status("ai")).status === "down" && (await status("keys")).status === "operational");
    const all = (await service.call("GET", "/api/status")).json;
    expect(all.status).toBe("down");
    expect(all.modules.map((one: { module: string }) => one.module)).toEqual([
      "ai",
      "audit",
      "auth",
      "cache",
      "database",
      "keys",
    ]);
    const states = Object.fromEntries(all.modules.map((one: { module: string; status: string }) => [one.module, one.status]));
    expect(states).toEqual({
      ai: "down",
      audit: "operational",
      auth: "operational",
      cache: "operational",
      database: "operational",
      keys: "operational",
    });
    expect(await status("keys")).toEqual({
      module: "keys",
      title: "API keys",
      status: "operational",
      since: expect.any(String),
      checked_at: expect.any(String),
      latency_ms: expect.any(Number),
      version: "1.2.3",
      uptime: { "24h": expect.any(Number), "7d": expect.any(Number), "30d": expect.any(Number), "90d": expect.any(Number) },
      checks: [{ name: "postgresql:connection", status: "pass", latency_ms: 2 }],
      incidents: [],
    });
    expect((await service.call("GET", "/api/system/status")).json).toMatchObject({ status: "down", message: "ai down" });
  });

  test("tells administrators, and them alone, why a module is down; the incident is open", async () => {
    await waitFor(async () => (await status("ai")).status === "down");
    const shown = await status("ai", admin);
    expect(shown.checks).toEqual([
      { name: "probe", status: "fail", detail: expect.stringMatching(/ECONNREFUSED|failed|refused/i) },
    ]);
    expect(shown.incidents).toEqual([
      { id: expect.stringMatching(/^inc_/), status: "down", started_at: expect.any(String), ended_at: null },
    ]);
    const person = await signUp(service, "somebody@example.org");
    for (const cookie of [undefined, person]) expect(JSON.stringify(await status("ai", cookie))).not.toMatch(/detail|ECONN/);
  });

  test("the module auth lives beside the routes of /api/auth; an unknown module is 404", async () => {
    await waitFor(async () => (await status("auth")).status === "operational");
    expect((await service.call("GET", "/api/auth/get-session")).status).toBe(200);
    const unknown = await service.call("GET", "/api/creator-hub/status");
    expect([unknown.status, unknown.json.code]).toEqual([404, "not_found"]);
    expect((await service.call("POST", "/api/auth/status")).status).toBe(405);
  });

  test("a cache that is away is seen as down while everything else goes on, and as operational when it is back", async () => {
    await surroundings.redis.set("shut");
    await waitFor(async () => (await status("cache")).status === "down");
    expect((await status("auth")).status).toBe("operational");
    await surroundings.redis.set("open");
    await waitFor(async () => (await status("cache")).status === "operational");
    const [incident] = (await status("cache")).incidents;
    expect(incident.ended_at).not.toBeNull();
  });

  test("with PostgreSQL away the status is 503, not a made-up one", async () => {
    await surroundings.postgres.set("shut");
    await waitFor(async () => (await service.call("GET", "/api/status")).status === 503);
    await surroundings.postgres.set("open");
    await waitFor(async () => (await service.call("GET", "/api/status")).status === 200);
  });
});

describe("the prober", () => {
  let surroundings: Surroundings;
  const opened: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    surroundings = await openSurroundings();
  });
  afterAll(async () => {
    await surroundings.close();
  });

  function open(clock: Clock, probes: Record<string, Probe>, options: { deadlineMs?: number; failuresBeforeDown?: number } = {}) {
    const database = openDatabase(surroundings.database.api, { applicationName: "prober test" });
    const logger = createLogger({ service: "test", level: "error", destination: captureLogs().stream });
    const needs = {
      db: database.db,
      clock,
      logger,
      probes,
      intervalMs: 3_600_000,
      deadlineMs: 200,
      failuresBeforeDown: 1,
      ...options,
    };
    const prober = openProber(needs);
    opened.push({ close: async () => (await prober.close(), await database.close()) });
    return { prober, db: database.db };
  }
  const closeAll = () => Promise.all(opened.splice(0).map((one) => one.close()));
  const clockAfter = (hours: number) => fakeClock(Date.now() + hours * 3_600_000);

  test("over many replicas one round is made an interval", async () => {
    let probes = 0;
    const clock = clockAfter(2);
    const count: Probe = () => Promise.resolve({ outcome: "operational", latencyMs: probes++, checks: [] });
    const replicas = Array.from({ length: 4 }, () => open(clock, { keys: count }).prober);
    await waitFor(() => probes > 0);
    const rounds = await Promise.all(replicas.map((prober) => prober.probeOnce()));
    expect(rounds).toEqual([false, false, false, false]);
    expect(probes).toBe(1);
    await closeAll();
  });

  test("a module that starts with us is seen long before the next round, and is not called down for its first silence", async () => {
    const clock = clockAfter(3);
    let probes = 0;
    let hasStarted = false;
    const starting: Probe = async () => {
      probes++;
      if (!hasStarted) throw new Error("refused");
      return { outcome: "operational", latencyMs: 1, checks: [] };
    };
    const fine: Probe = () => Promise.resolve({ outcome: "operational", latencyMs: 1, checks: [] });
    const { db } = open(clock, { database: starting, auth: fine }, { failuresBeforeDown: 2 });
    const database = async () =>
      await db.selectFrom("modules").selectAll().where("name", "=", "database").executeTakeFirstOrThrow();
    await waitFor(() => probes >= 4);
    expect(await database()).toMatchObject({ status: "unknown", failures_in_a_row: 1 });
    clock.advance(1000);
    hasStarted = true;
    await waitFor(async () => (await database()).status === "operational");
    await closeAll();
  });

  test("a probe that never answers ends at its deadline and holds up neither the others nor the end", async () => {
    const clock = clockAfter(4);
    const never: Probe = () => new Promise(() => undefined);
    const fine: Probe = () => Promise.resolve({ outcome: "operational", latencyMs: 1, checks: [] });
    const { db } = open(clock, { keys: never, ai: fine });
    const read = async (name: string) =>
      await db.selectFrom("modules").selectAll().where("name", "=", name).executeTakeFirstOrThrow();
    await waitFor(async () => (await read("keys")).status === "down");
    expect((await read("ai")).status).toBe("operational");
    expect((await read("keys")).checks).toEqual([{ name: "probe", status: "fail", detail: "no answer in time" }]);
    await closeAll();
    // Told to stop while a probe is under way.
    const second = open(clockAfter(6), { keys: never }, { deadlineMs: 60_000 });
    expect(second.prober).toBeDefined();
    await closeAll();
  });

  test("when the prober is dead what it last said becomes unknown", async () => {
    const clock = clockAfter(8);
    const { db } = open(clock, { keys: () => Promise.resolve({ outcome: "operational", latencyMs: 1, checks: [] }) });
    const reader = openModuleStatusReader({ db, clock, staleAfterMs: 30_000 });
    await waitFor(async () => {
      clock.advance(1001);
      return (await reader.one("keys", false)).status === "operational";
    });
    clock.advance(31_000);
    expect((await reader.one("keys", false)).status).toBe("unknown");
    expect((await reader.line()).status).toBe("unknown");
    await closeAll();
  });

  test("uptime is the share of probes that found the module doing its job, within each window", async () => {
    const owner = surroundings.database.openOwner().db;
    const now = Date.now();
    const day = 24 * 3_600_000;
    const rows = [
      [now - 1000, "operational"],
      [now - 2000, "down"],
      [now - 3000, "degraded"],
      [now - 4000, "operational"],
      [now - 3 * day, "down"],
    ] as const;
    await owner
      .insertInto("module_checks")
      .values(rows.map(([time, status]) => ({ checked_at: new Date(time), module: "audit", status, latency_ms: 1 })))
      .execute();
    const reader = openModuleStatusReader({ db: owner, clock: fakeClock(now), staleAfterMs: 30_000 });
    expect((await reader.one("audit", false)).uptime).toEqual({ "24h": 0.75, "7d": 0.6, "30d": 0.6, "90d": 0.6 });
    expect((await reader.one("cache", false)).uptime).toEqual({ "24h": null, "7d": null, "30d": null, "90d": null });
  });
});

describe("a neighbour that lies", () => {
  const probe = async () => (await import("./probe-service.ts")).probeService(neighbourUrl, AbortSignal.timeout(500));

  test.each([
    ["says pass with 503", { status: 503, body: healthy.body }, "failed"],
    ["says nothing that we know", { status: 200, body: '{"status":"splendid"}' }, "failed"],
    ["says warn", { status: 200, body: '{"status":"warn"}' }, "degraded"],
    ["redirects", { status: 302, body: "{}", location: "http://169.254.169.254/" }, "failed"],
    [
      "has checks of another shape",
      { status: 200, body: '{"status":"pass","checks":{"a":5,"b":[{}],"c":[null]}}' },
      "operational",
    ],
  ])("%s", async (_name, given, outcome) => {
    answer = given;
    expect((await probe()).outcome).toBe(outcome);
  });

  test.each([
    ["no JSON", { status: 200, body: "<html>" }, /JSON/],
    ["no object", { status: 200, body: "5" }, /not an object/],
    ["far too much", { status: 200, body: " ".repeat(70_000) }, /too large/],
    ["nothing in time", { status: 200, body: "", delayed: true }, /time/],
  ])("%s has failed", async (_name, given, reason) => {
    answer = given;
    await expect(probe()).rejects.toThrow(reason);
  });
});
