import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConfigError, type Environment, loadConfig } from "@nexus/config";
import { expect, test } from "vitest";
import { type Connection, connectionFrom, databaseFields, databaseRules } from "./connection.ts";

const read = (env: Environment): Connection => connectionFrom(loadConfig(databaseFields, env, databaseRules));
function faultsOf(env: Environment): string {
  try {
    read(env);
    return "none";
  } catch (error) {
    return (error as ConfigError).faults.join("\n");
  }
}

const byParts = { DB_HOST: "db", DB_USER: "nexus_api", DB_PASSWORD: "a-good-password" };

test("the seed's variables name a connection", () => {
  expect(read(byParts)).toEqual({ host: "db", port: 5432, database: "nexus_db", user: "nexus_api", password: "a-good-password" });
});

test("a URL names a connection, its parts decoded", () => {
  const url = "postgresql://me%40x:p%2Fw-secret@[::1]:6000/my%20db?sslmode=verify-full";
  expect(read({ DATABASE_URL: url })).toEqual({
    host: "::1",
    port: 6000,
    database: "my db",
    user: "me@x",
    password: "p/w-secret",
    ssl: { rejectUnauthorized: true },
  });
});

test("a URL or a password may come from a file", async () => {
  const directory = await mkdtemp(join(tmpdir(), "nexus-db-config-"));
  await writeFile(join(directory, "url"), "postgres://u:a-good-password@h/d\n");
  expect(read({ DATABASE_URL_FILE: join(directory, "url") })).toMatchObject({ host: "h", password: "a-good-password" });
  await rm(directory, { recursive: true });
});

test.each<[string, Environment, RegExp]>([
  [
    "both ways at once",
    { ...byParts, DATABASE_URL: "postgres://u:a-good-password@h/d" },
    /DATABASE_URL and DB_HOST are both set/,
  ],
  ["neither way", {}, /DATABASE_URL or DB_HOST is required/],
  ["a host alone", { DB_HOST: "db" }, /DB_USER is required[\s\S]*DB_PASSWORD is required/],
  ["a published password", { ...byParts, DB_PASSWORD: "changeme" }, /DB_PASSWORD is a value printed in a public document/],
  ["a published password in a URL", { DATABASE_URL: "postgres://u:changeme@h/d" }, /DATABASE_URL holds a password printed/],
  ["another protocol", { DATABASE_URL: "mysql://u:a-good-password@h/d" }, /DATABASE_URL must be a URL starting with postgres/],
  ["a URL without a password", { DATABASE_URL: "postgres://u@h/d" }, /must name a user, a password/],
  ["an unknown parameter", { DATABASE_URL: "postgres://u:a-good-password@h/d?schema=x" }, /has the parameter schema/],
  ["an unknown sslmode", { DATABASE_URL: "postgres://u:a-good-password@h/d?sslmode=prefer" }, /an sslmode that is none of/],
  ["a port and a pool out of range", { ...byParts, DB_PORT: "0", DB_POOL_SIZE: "1e3" }, /DB_PORT must[\s\S]*DB_POOL_SIZE must/],
])("a fault is told by name: %s", (_name, env, message) => {
  expect(faultsOf(env)).toMatch(message);
  expect(faultsOf(env)).not.toMatch(/changeme|a-good-password/);
});
