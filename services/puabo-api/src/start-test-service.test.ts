/** What the tests of this service share: the service itself on a database of its own, and doors that can be shut. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Environment, loadConfig } from "@nexus/config";
import type { Clock } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, createTestDatabase, startTestRedis, type TestDatabase } from "@nexus/testing";
import { expect, test } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "./service.ts";

/** A TCP door between the service and what it needs. */
export interface Door {
  port: number;
  /** `shut`: connections are cut and refused. `stuck`: they stay open and nothing moves. */
  set(state: "open" | "shut" | "stuck"): Promise<void>;
  close(): Promise<void>;
}

export async function openDoor(target: { host: string; port: number }): Promise<Door> {
  const pairs = new Set<[Socket, Socket]>();
  let state: "open" | "shut" | "stuck" = "open";
  const server = createServer((inner) => {
    const outer = connect(target);
    const pair: [Socket, Socket] = [inner, outer];
    pairs.add(pair);
    for (const [from, to] of [pair, pair.toReversed() as [Socket, Socket]]) {
      from.on("error", () => undefined);
      from.on("close", () => (to.destroy(), pairs.delete(pair)));
      from.on("data", (chunk) => void (state === "open" && to.write(chunk)));
    }
    if (state === "shut") inner.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => pairs.forEach(([inner]) => inner.destroy());
  return {
    port: (server.address() as { port: number }).port,
    set: async (next) => {
      // What was stuck stays lost: a connection that comes back out of it would be out of step.
      if (next === "shut" || state === "stuck") cut();
      state = next;
    },
    close: async () => {
      cut();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

export interface Surroundings {
  database: TestDatabase;
  postgres: Door;
  redis: Door;
  /** Past the door: for a replica whose way to Redis is another one. */
  redisUrl: string;
  env: Environment;
  close(): Promise<void>;
}

/** A migrated database and a Redis, each behind a door, and the environment that names them. */
export async function openSurroundings(env: Record<string, string> = {}): Promise<Surroundings> {
  const database = await createTestDatabase();
  const redisServer = await startTestRedis();
  const redisUrl = new URL(redisServer.target.url);
  const postgres = await openDoor({ host: database.api.host, port: database.api.port });
  const redis = await openDoor({ host: redisUrl.hostname, port: Number(redisUrl.port) });
  redisUrl.port = String(redis.port);
  const folder = mkdtempSync(join(tmpdir(), "puabo-api-test-"));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, randomBytes(32).toString("hex"));
  return {
    database,
    postgres,
    redis,
    redisUrl: redisServer.target.url,
    env: {
      DB_HOST: "127.0.0.1",
      DB_PORT: String(postgres.port),
      DB_NAME: database.api.database,
      DB_USER: database.api.user,
      DB_PASSWORD: database.api.password,
      REDIS_URL: redisUrl.href,
      JWT_SECRET: randomBytes(32).toString("hex"),
      NEXUS_AUDIT_KEY: randomBytes(32).toString("hex"),
      NEXUS_SERVICE_TOKEN_FILE: tokenFile,
      NEXUS_MODULE_PROBE_SECONDS: "3600",
      NEXUS_SIGN_IN_PER_NETWORK: "100000",
      ...env,
    },
    close: async () => {
      await Promise.all([postgres.close(), redis.close()]);
      await Promise.all([database.drop(), redisServer.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface TestService extends RunningService {
  logs(): string;
  /** One request; `cookie` is what `cookieOf` gave. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
}

interface CallOptions {
  body?: unknown;
  cookie?: string | undefined;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // Tests look into many shapes; each names the member that it expects.
  // oxlint-disable-next-line typescript/no-explicit-any
  json: any;
  /** The session cookie that was set, as a `Cookie` header. */
  cookie: string | undefined;
}

export async function startTestService(
  surroundings: Surroundings,
  options: { env?: Record<string, string>; clock?: Clock } = {},
): Promise<TestService> {
  const logs = captureLogs();
  const config = loadConfig(configSchema, { ...surroundings.env, ...options.env }, configRules);
  const logger = createLogger({ service: "puabo-api", level: "debug", destination: logs.stream });
  const free = { PORT: 0, NEXUS_PUABO_API_INTERNAL_PORT: 0 };
  const tools = options.clock ? { logger, clock: options.clock } : { logger };
  const service = await startService({ ...config, ...free }, tools);
  return { ...service, logs: logs.text, call: (method, path, call) => request(`${service.url}${path}`, method, call) };
}

async function request(url: string, method: string, { body, cookie, headers = {} }: CallOptions = {}): Promise<Answer> {
  const isText = typeof body === "string";
  const answer = await fetch(url, {
    method,
    redirect: "manual",
    headers: {
      ...(body === undefined || isText ? {} : { "content-type": "application/json" }),
      ...(cookie === undefined ? {} : { cookie }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get("content-type")?.includes("json") === true;
  const set = answer.headers.getSetCookie().find((line) => line.includes("nexus_session="));
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    json: isJson && text !== "" ? JSON.parse(text) : undefined,
    cookie: set?.split(";")[0],
  };
}

export const password = "a long pass phrase of mine";

/** Makes the first administrator through the link. Returns their cookie. */
export async function setUp(service: TestService, email = "owner@example.org"): Promise<string> {
  const code = new URL(service.setupUrl!).searchParams.get("code");
  const answer = await service.call("POST", "/setup", { body: { code, email, password, name: "Owner" } });
  expect(answer.status).toBe(201);
  return answer.cookie!;
}

/** Somebody else, by open sign-up. Returns their cookie. */
export async function signUp(service: TestService, email: string): Promise<string> {
  const answer = await service.call("POST", "/api/auth/sign-up/email", { body: { email, password, name: "Somebody" } });
  expect(answer.status).toBe(200);
  return answer.cookie!;
}

// Other test files import this one, and must not run its own test with theirs.
// oxlint-disable-next-line vitest/no-conditional-tests
if (expect.getState().testPath === import.meta.filename) {
  test("the service starts, answers for itself and frees its ports", async () => {
    const surroundings = await openSurroundings();
    const service = await startTestService(surroundings);
    expect((await service.call("GET", "/")).json).toMatchObject({ name: "puabo-api" });
    expect((await service.call("GET", "/readyz")).json).toEqual({ ready: true, reasons: [] });
    expect((await service.call("GET", "/health")).json).toMatchObject({ status: "pass" });
    await service.close();
    await expect(fetch(service.url)).rejects.toThrow("fetch failed");
    await surroundings.close();
  });
}
