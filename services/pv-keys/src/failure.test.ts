/** pv-keys when PostgreSQL is not there: it says so, and never mistakes "I cannot tell" for "no". */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@nexus/config";
import { generateApiKey } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type FakeIssuer, freePort, startFakeIssuer } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "./service.ts";

const token = randomBytes(32).toString("base64url");
const databasePassword = randomBytes(16).toString("base64url");
const logs = captureLogs();
const folder = mkdtempSync(join(tmpdir(), "pv-keys-"));
let issuer: FakeIssuer;
let service: RunningService;

beforeAll(async () => {
  issuer = await startFakeIssuer();
  writeFileSync(join(folder, "token"), token);
  const env = {
    PORT: "0",
    DB_HOST: "127.0.0.1",
    DB_PORT: String(await freePort()),
    DB_USER: "nexus_keys",
    DB_PASSWORD: databasePassword,
    NEXUS_AUDIT_KEY: randomBytes(32).toString("base64url"),
    NEXUS_KEY_PEPPERS: `1:${randomBytes(32).toString("base64url")}`,
    NEXUS_SERVICE_TOKEN_FILE: join(folder, "token"),
    NEXUS_CALLER_TOKEN_FILES: `puaboai-sdk=${join(folder, "token")}`,
    NEXUS_PUBLIC_URL: issuer.url,
    PUABO_API_URL: issuer.url,
  };
  service = await startService(loadConfig(configSchema, env, configRules), {
    logger: createLogger({ service: "pv-keys", level: "debug", destination: logs.stream }),
  });
});
afterAll(async () => {
  await service.close();
  await issuer.close();
  rmSync(folder, { recursive: true, force: true });
});

it("is alive, not ready, and fails its health check", async () => {
  expect((await fetch(`${service.url}/livez`)).status).toBe(200);
  expect((await fetch(`${service.url}/readyz`)).status).toBe(503);
  const health = await fetch(`${service.url}/health`);
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({ status: "fail", checks: { "postgresql:connection": [{ status: "fail" }] } });
});

it("answers 503 for a well-formed key, never that it is not valid", async () => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const ask = (key: string): Promise<Response> =>
    fetch(`${service.internalUrl}/v1/keys/verify`, { method: "POST", headers, body: JSON.stringify({ key }) });
  const answer = await ask(generateApiKey("sk", "live").key);
  expect(answer.status).toBe(503);
  expect(answer.headers.get("retry-after")).toMatch(/^[12]$/);
  expect(Object.keys((await answer.json()) as object).toSorted()).toEqual(["code", "request_id", "status", "title", "type"]);
  expect(await (await ask("not a key")).json()).toEqual({ valid: false, code: "not_found" });
});

it("refuses to make a key that it cannot keep, and logs no password", async () => {
  const answer = await fetch(`${service.url}/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${issuer.token(issuer.person(), "pv-keys")}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "x" }),
  });
  expect(answer.status).toBe(503);
  expect(logs.text()).toContain('"problem":"unavailable"');
  expect(logs.text()).not.toContain(databasePassword);
});
