import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, loadConfig } from "@nexus/config";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configRules, configSchema } from "./config.ts";

let folder: string;
let good: Record<string, string>;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "puabo-api-config-"));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  good = {
    DB_HOST: "127.0.0.1",
    DB_USER: "nexus_api",
    DB_PASSWORD: "a-password-of-the-tests",
    REDIS_HOST: "127.0.0.1",
    JWT_SECRET_FILE: file("jwt", "x1".repeat(16)),
    NEXUS_AUDIT_KEY: "y2".repeat(16),
    NEXUS_SERVICE_TOKEN_FILE: file("token", "z3".repeat(16)),
  };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function faultsOf(changes: Record<string, string | undefined>): readonly string[] {
  try {
    loadConfig(configSchema, { ...good, ...changes }, configRules);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

test("the smallest configuration is enough, with secrets from files", () => {
  expect(faultsOf({})).toEqual([]);
});

test("every variable has a sentence", () => {
  for (const [name, field] of Object.entries(configSchema)) expect([name, field.doc.length > 8]).toEqual([name, true]);
});

test("every bad value is reported at once, by name, without a secret's value", () => {
  const faults = faultsOf({
    PORT: "http",
    JWT_SECRET: "too short",
    JWT_SECRET_FILE: undefined,
    NEXUS_SIGN_UP: "maybe",
    NEXUS_PUBLIC_URL: "http://nexus.example.org",
    NEXUS_SESSION_IDLE_SECONDS: "99999999999",
    DATABASE_URL: "postgres://u:another-password@127.0.0.1/x",
    REDIS_URL: "redis://127.0.0.1",
    NEXUS_INIT_PASSWORD: "only a password without address",
  });
  for (const name of [
    "PORT",
    "JWT_SECRET",
    "NEXUS_SIGN_UP",
    "NEXUS_PUBLIC_URL",
    "NEXUS_SESSION_IDLE_SECONDS",
    "DATABASE_URL",
    "REDIS_URL",
    "NEXUS_INIT_EMAIL",
  ]) {
    expect(faults.filter((fault) => fault.startsWith(name))).toHaveLength(1);
  }
  expect(faults.join()).not.toMatch(/too short|only a password|another-password/);
});

test.each([
  [{ NEXUS_PUBLIC_URL: "http://192.0.2.1:4000" }, /NEXUS_PUBLIC_URL must start with https/],
  [{ NEXUS_PUBLIC_URL: "https://nexus.example.org/path" }, /NEXUS_PUBLIC_URL must be an origin/],
  [
    { JWT_SECRET_FILE: undefined, JWT_SECRET: ["nexus-cos-secret-key", "2024-secure"].join("-") },
    /JWT_SECRET is a value printed in a public document/,
  ],
  [{ JWT_SECRET_FILE: undefined }, /JWT_SECRET is required/],
  [{ REDIS_HOST: undefined }, /REDIS_URL or REDIS_HOST is required/],
  [
    { NEXUS_INIT_EMAIL: "nobody", NEXUS_INIT_PASSWORD: "a long pass phrase of mine" },
    /NEXUS_INIT_EMAIL is not an e-mail address/,
  ],
  [{ NEXUS_INIT_EMAIL: "a@example.org" }, /NEXUS_INIT_PASSWORD .* is required/],
  [
    { NEXUS_INIT_EMAIL: "a@example.org", NEXUS_INIT_PASSWORD: "fourteen chars" },
    /NEXUS_INIT_PASSWORD must have at least 15 characters/,
  ],
  [{ NEXUS_INIT_EMAIL: "a@example.org", NEXUS_INIT_PASSWORD: "passwordpassword" }, /NEXUS_INIT_PASSWORD is one that everybody/],
  [{ NEXUS_SESSION_IDLE_SECONDS: "600", NEXUS_SESSION_ABSOLUTE_SECONDS: "60" }, /NEXUS_SESSION_IDLE_SECONDS must not exceed/],
])("%j is one fault", (changes, sentence) => {
  const faults = faultsOf(changes);
  expect(faults).toHaveLength(1);
  expect(faults[0]).toMatch(sentence);
});

test.each(["https://nexus.example.org", "http://localhost:4000", "http://127.0.0.1:4000", "http://[::1]:4000"])(
  "%s is a public URL",
  (url) => {
    expect(faultsOf({ NEXUS_PUBLIC_URL: url })).toEqual([]);
  },
);
