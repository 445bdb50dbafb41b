import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Connection } from "./connection.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded/start-embedded-postgres.ts";
import { ensureRoles, serviceRoles } from "./ensure-roles.ts";
import { executeStatements, withClient } from "./with-client.ts";

// Roles belong to a whole cluster, so this file has one of its own.
let folder: string;
let postgres: EmbeddedPostgres;
let owner: Connection;
beforeAll(async () => {
  // Not the TMPDIR of whoever runs this: PostgreSQL may run as somebody who cannot enter that.
  folder = await mkdtemp("/tmp/nexus-roles-");
  await chmod(folder, 0o755);
  postgres = await startEmbeddedPostgres({
    dataDirectory: join(folder, "data"),
    settings: { fsync: "off", log_statement: "all" },
    drainMs: 50,
  });
  owner = postgres.connection;
});
afterAll(async () => {
  await postgres.stop();
  await rm(postgres.dataDirectory, { recursive: true });
  await rm(folder, { recursive: true, force: true });
});

const passwords = { nexus_api: "password-of-api", nexus_ai: "password-of-ai", nexus_keys: "пароль-of-keys" };
const query = async (connection: Connection, text: string) =>
  (await withClient(connection, "test", (client) => client.query(text))).rows;
const as = (role: keyof typeof passwords, password = passwords[role]): Connection => ({ ...owner, user: role, password });

test("several owners at once, of several databases, make the roles, and doing it again changes nothing that matters", async () => {
  await executeStatements(owner, "test", ["CREATE DATABASE second"]);
  const second = { ...owner, database: "second" };
  await Promise.all([owner, second, owner, second, owner, second].map((connection) => ensureRoles(connection, passwords)));
  for (const role of serviceRoles) expect(await query(as(role), "SELECT current_user")).toEqual([{ current_user: role }]);
});

test("the services cannot log in to the databases that every cluster comes with", async () => {
  await ensureRoles({ ...owner, database: "second" }, passwords);
  for (const role of serviceRoles) {
    await expect(query({ ...as(role), database: "template1" }, "SELECT 1")).rejects.toMatchObject({ code: "42501" });
  }
  // This test's owner works in `postgres` itself, so there the services have what they were given by name.
  expect(await query(owner, "SELECT has_database_privilege('public', 'postgres', 'CONNECT') AS may")).toEqual([{ may: false }]);
  // A copy of a closed template can still be made.
  await executeStatements(owner, "test", ["CREATE DATABASE third"]);
});

test("what a role had set for itself is gone", async () => {
  const { database } = owner;
  await executeStatements(as("nexus_ai"), "test", [
    "ALTER ROLE nexus_ai SET statement_timeout = 0",
    `ALTER ROLE nexus_ai IN DATABASE "${database}" SET lock_timeout = 0`,
  ]);
  const bounds = "SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock";
  expect(await query(as("nexus_ai"), bounds)).toEqual([{ statement: "0", lock: "0" }]);
  await ensureRoles(owner, passwords);
  expect(await query(as("nexus_ai"), bounds)).toEqual([{ statement: "30s", lock: "10s" }]);
});

test("a role's new password is the one that counts", async () => {
  await ensureRoles(owner, { ...passwords, nexus_ai: "the-new-password" });
  await expect(query(as("nexus_ai"), "SELECT 1")).rejects.toMatchObject({ code: "28P01" });
  expect(await query(as("nexus_ai", "the-new-password"), "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  await ensureRoles(owner, passwords);
});

test("a role that had become powerful loses its powers", async () => {
  await executeStatements(owner, "test", ["ALTER ROLE nexus_keys SUPERUSER CREATEROLE CREATEDB REPLICATION BYPASSRLS NOLOGIN"]);
  await ensureRoles(owner, passwords);
  const rows = await query(
    owner,
    "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = 'nexus_keys'",
  );
  expect(rows).toEqual([
    { rolsuper: false, rolcreaterole: false, rolcreatedb: false, rolreplication: false, rolbypassrls: false, rolcanlogin: true },
  ]);
});

test("an owner that is no superuser can do it too", async () => {
  await executeStatements(owner, "test", [
    "CREATE ROLE manager LOGIN CREATEROLE PASSWORD 'managers-password'",
    "CREATE DATABASE managed OWNER manager",
  ]);
  // Another user of the cluster may rely on what PUBLIC may do.
  await executeStatements(owner, "test", ["GRANT CONNECT ON DATABASE template1 TO PUBLIC"]);
  await ensureRoles(owner, passwords);
  expect(
    await query({ ...owner, user: "manager", password: "managers-password", database: "template1" }, "SELECT 1 AS one"),
  ).toEqual([{ one: 1 }]);
  const manager = { ...owner, user: "manager", password: "managers-password", database: "managed" };
  await ensureRoles(manager, passwords);
  expect(await query({ ...as("nexus_api"), database: "managed" }, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

test("whoever is none of the three cannot log in to the platform's database, and time limits hold for those who are", async () => {
  await executeStatements(owner, "test", ["CREATE ROLE stranger LOGIN PASSWORD 'strangers-password'"]);
  await expect(query({ ...owner, user: "stranger", password: "strangers-password" }, "SELECT 1")).rejects.toMatchObject({
    code: "42501",
  });
  const [settings] = await query(
    as("nexus_api"),
    "SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock, current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('search_path') AS path",
  );
  expect(settings).toEqual({ statement: "30s", lock: "10s", idle: "30s", path: "public" });
});

test("no password stands in PostgreSQL's log, though it logs every statement", async () => {
  const log = await readFile(join(postgres.dataDirectory, "postgres.log"), "utf8");
  expect(log).toContain("ALTER ROLE nexus_api");
  for (const password of Object.values(passwords)) expect(log).not.toContain(password);
});
