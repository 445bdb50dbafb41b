import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Connection, type Database, executeStatements, openDatabase, startEmbeddedPostgres } from "@nexus/db";
import { createTestDatabase, freePort, type TestDatabase } from "@nexus/testing";
import { verify } from "@node-rs/argon2";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runDbAdmin } from "./run-db-admin.ts";

const auditKey = "an audit key for this test, long enough";
let database: TestDatabase;
let owner: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
});
afterAll(async () => await database.drop());

const environmentOf = (connection: Connection) => ({
  DB_HOST: connection.host,
  DB_PORT: String(connection.port),
  DB_NAME: connection.database,
  DB_USER: connection.user,
  DB_PASSWORD: connection.password,
  NEXUS_AUDIT_KEY: auditKey,
});

async function run(args: string[], options: { env?: Record<string, string>; stdin?: string } = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runDbAdmin({
    args,
    env: options.env ?? environmentOf(database.owner),
    stdin: (async function* () {
      yield options.stdin ?? "";
    })(),
    print: (line) => out.push(line),
    complain: (line) => err.push(line),
  });
  return { code, out, err: err.join("\n"), json: () => JSON.parse(out.join("\n")) as Record<string, never> };
}

const auditActions = async (): Promise<string[]> =>
  (await owner.db.selectFrom("audit_log").select("action").orderBy("recorded_at").orderBy("id").execute()).map(
    (row) => row.action,
  );

test.each([
  [[]],
  [["serve"]],
  [["migrate", "--force"]],
  [["migrate", "--status", "--dry-run"]],
  [["journey-user"]],
  [["journey-user", "remove"]],
  [["journey-user", "create", "--role", "root"]],
  [["record-deploy", "--status"]],
])("what is not understood ends with 2 and does nothing: %j", async (args) => {
  const { code, err } = await run(args);
  expect(code).toBe(2);
  expect(err).toContain("usage: db-admin");
});

test("every fault of the configuration is told at once, by name, and no value of a secret", async () => {
  const { code, err } = await run(["migrate"], {
    env: {
      DB_HOST: "127.0.0.1",
      DB_PORT: "many",
      DB_PASSWORD: "short",
      NEXUS_API_DB_PASSWORD: "changeme",
      NEXUS_AUDIT_KEY: "tiny-key",
    },
  });
  expect(code).toBe(1);
  for (const name of [
    "DB_PORT",
    "DB_PASSWORD",
    "NEXUS_API_DB_PASSWORD",
    "NEXUS_AI_DB_PASSWORD",
    "NEXUS_KEYS_DB_PASSWORD",
    "NEXUS_AUDIT_KEY",
  ]) {
    expect(err).toContain(name);
  }
  expect(err).not.toMatch(/changeme|tiny-key/);
});

test("PostgreSQL away is one clear line and exit 1", async () => {
  const env = environmentOf({ ...database.owner, port: await freePort() });
  const { code, err } = await run(["journey-user", "create"], { env });
  expect(code).toBe(1);
  expect(err).toMatch(/^PostgreSQL cannot do this at the moment: /);
  expect(err.split("\n")).toHaveLength(1);
});

test("the program itself exits with 0, 1 and 2", async () => {
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const exit = async (args: string[], env: Record<string, string>): Promise<number> =>
    await new Promise((resolve) => {
      execFile(process.execPath, [main, ...args], { env }, (error) => resolve((error?.code as number | undefined) ?? 0));
    });
  const env = environmentOf(database.owner);
  expect(await Promise.all([exit(["migrate", "--status"], env), exit(["migrate"], {}), exit(["nothing"], env)])).toEqual([
    0, 1, 2,
  ]);
});

test("a throw-away person can sign in with the printed password, may spend a little, and is audited", async () => {
  const { code, json } = await run(["journey-user", "create", "--role", "admin"]);
  expect(code).toBe(0);
  const { email, password, user_id, organization_id } = json();
  const row = await owner.db
    .selectFrom("users as u")
    .innerJoin("accounts as a", "a.user_id", "u.id")
    .innerJoin("members as m", "m.user_id", "u.id")
    .innerJoin("organizations as o", "o.id", "m.organization_id")
    .innerJoin("budgets as b", "b.organization_id", "o.id")
    .select([
      "u.id",
      "u.role",
      "a.provider_id",
      "a.account_id",
      "a.password_hash",
      "o.id as organization",
      "o.personal",
      "b.limit_nanos",
    ])
    .where("u.email", "=", email!)
    .executeTakeFirstOrThrow();
  expect([`usr_${row.id}`, `org_${row.organization}`]).toEqual([user_id, organization_id]);
  expect(row).toMatchObject({
    role: "admin",
    provider_id: "credential",
    account_id: row.id,
    personal: true,
    limit_nanos: 100_000_000n,
  });
  expect(row.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  expect(await verify(row.password_hash!, password!)).toBe(true);
  const entry = await owner.db.selectFrom("audit_log").selectAll().where("action", "=", "user.created").executeTakeFirstOrThrow();
  expect(entry).toMatchObject({
    outcome: "success",
    organization_id: row.organization,
    actor: { kind: "system", id: "db-admin" },
  });
  expect(JSON.stringify(entry.details)).not.toContain(email);
});

test("a password from a file is used and not printed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "nexus-db-admin-"));
  await writeFile(join(directory, "password"), "correct horse battery staple\n");
  const env = { ...environmentOf(database.owner), NEXUS_JOURNEY_PASSWORD_FILE: join(directory, "password") };
  const { out, json } = await run(["journey-user", "create"], { env });
  expect(out.join()).not.toMatch(/password|horse/);
  const account = await owner.db
    .selectFrom("accounts")
    .innerJoin("users", "users.id", "accounts.user_id")
    .select("password_hash")
    .where("email", "=", json()["email"]!)
    .executeTakeFirstOrThrow();
  expect(await verify(account.password_hash!, "correct horse battery staple")).toBe(true);
  await rm(directory, { recursive: true });
});

test("removal takes the person with sessions, keys, budget and organization, tells the verifiers, and leaves the audit trail", async () => {
  const created = (await run(["journey-user", "create"])).json();
  const [userId, organizationId] = [created["user_id"]!, created["organization_id"]!].map((id: string) => id.slice(4)) as [
    string,
    string,
  ];
  const at = new Date();
  const keyId = "018f0000-0000-7000-8000-0000000000aa";
  const sessionId = "018f0000-0000-7000-8000-0000000000bb";
  await owner.db
    .insertInto("sessions")
    .values({
      id: sessionId,
      token_hash: Buffer.alloc(32, 1),
      user_id: userId,
      organization_id: organizationId,
      amr: ["pwd"],
      aal: 1,
      auth_time: at,
      idle_expires_at: at,
      absolute_expires_at: at,
    })
    .execute();
  await owner.db
    .insertInto("api_keys")
    .values({
      id: keyId,
      organization_id: organizationId,
      owner_kind: "user",
      owner_user_id: userId,
      name: "k",
      kind: "sk",
      environment: "test",
      rev: 1n,
    })
    .execute();
  await owner.db
    .insertInto("api_key_versions")
    .values({ key_id: keyId, version: 1, hash: Buffer.alloc(32, 2), pepper_version: 1, display_prefix: "pv_sk_test_x" })
    .execute();
  const before = await owner.db.selectFrom("change_counter").select("rev").executeTakeFirstOrThrow();

  const removed = await run(["journey-user", "remove", "--email", created["email"]!]);
  expect(removed.json()).toEqual({ removed: true, email: created["email"], sessions: 1, keys: 1 });
  for (const [table, column, value] of [
    ["users", "id", userId],
    ["organizations", "id", organizationId],
    ["budgets", "organization_id", organizationId],
    ["api_keys", "organization_id", organizationId],
    ["sessions", "user_id", userId],
    ["accounts", "user_id", userId],
  ] as const) {
    expect(
      await owner.db
        .selectFrom(table)
        .selectAll()
        .where(column as never, "=", value as never)
        .execute(),
      table,
    ).toEqual([]);
  }
  const changes = await owner.db
    .selectFrom("changes")
    .select(["kind", "subject_id"])
    .where("rev", ">", before.rev)
    .orderBy("rev")
    .execute();
  expect(changes).toEqual([
    { kind: "key", subject_id: keyId },
    { kind: "session", subject_id: sessionId },
    { kind: "user", subject_id: userId },
  ]);
  expect((await auditActions()).at(-1)).toBe("user.removed");

  const again = await run(["journey-user", "remove", "--email", created["email"]!]);
  expect([again.code, again.json()]).toEqual([0, { removed: false, email: created["email"], sessions: 0, keys: 0 }]);
});

test("a real person cannot be removed by this program", async () => {
  await owner.db
    .insertInto("users")
    .values({ id: "018f0000-0000-7000-8000-0000000000cc", email: "owner@example.com", name: "Owner" })
    .execute();
  const { code, err } = await run(["journey-user", "remove", "--email", "owner@example.com"]);
  expect(code).toBe(2);
  expect(err).toContain("--email must be an address that `journey-user create` gave out");
  expect(await owner.db.selectFrom("users").select("id").where("email", "=", "owner@example.com").execute()).toHaveLength(1);
});

test("a deployment is recorded as it reports itself", async () => {
  const report = {
    result: "failed",
    version: "1.2.3",
    duration_ms: 4200,
    digests: { "puabo-api": "sha256:ab" },
    reason: "a probe timed out",
  };
  const { code, json } = await run(["record-deploy"], { stdin: JSON.stringify(report) });
  expect([code, json()]).toEqual([0, { recorded: "deploy.failed", version: "1.2.3" }]);
  const entry = await owner.db
    .selectFrom("audit_log")
    .selectAll()
    .where("action", "=", "deploy.failed")
    .executeTakeFirstOrThrow();
  expect(entry).toMatchObject({ outcome: "failure", targets: [{ kind: "release", id: "1.2.3" }], details: report });
});

test.each([
  ["{", "is not JSON"],
  ["[]", "is no JSON object"],
  [
    '{"result":"fine","duration_ms":-1,"extra":1}',
    "result must be completed or failed; version must be a text of 1 to 200 characters; duration_ms must be a whole number of milliseconds; extra is not known",
  ],
])("a bad report is refused with all its faults and writes nothing: %s", async (stdin, message) => {
  const before = await auditActions();
  const { code, err } = await run(["record-deploy"], { stdin });
  expect([code, err]).toEqual([1, expect.stringContaining(message)]);
  expect(await auditActions()).toEqual(before);
});

test("migrate makes the roles and the schema of an empty database, then has nothing to do; its services can log in", async () => {
  const directory = await mkdtemp("/tmp/nexus-db-admin-");
  await chmod(directory, 0o755);
  const postgres = await startEmbeddedPostgres({ dataDirectory: join(directory, "postgres"), settings: { fsync: "off" } });
  try {
    const passwords = {
      NEXUS_API_DB_PASSWORD: "api-password-1",
      NEXUS_AI_DB_PASSWORD: "ai-password-12",
      NEXUS_KEYS_DB_PASSWORD: "keys-password",
    };
    const env = { ...environmentOf(postgres.connection), ...passwords };
    const planned = await run(["migrate", "--dry-run"], { env });
    expect(planned.out[0]).toMatch(/^would apply 2026/);
    const first = await run(["migrate"], { env });
    expect([first.code, first.err]).toEqual([0, ""]);
    expect(first.out.at(-1)).toBe(`the schema is up to date: ${planned.out.length} applied now, 0 before`);
    expect(first.out.join()).not.toMatch(/password/);
    const second = await run(["migrate"], { env: { ...env, NEXUS_AI_DB_PASSWORD: "another-password" } });
    expect(second.out.at(-1)).toBe(`the schema is up to date: 0 applied now, ${planned.out.length} before`);
    const ai = openDatabase(
      { ...postgres.connection, user: "nexus_ai", password: "another-password" },
      { applicationName: "test" },
    );
    expect(await ai.pendingMigrations()).toEqual([]);
    await ai.close();
    const status = await run(["migrate", "--status"], { env });
    expect(status.out).toHaveLength(planned.out.length);
    await executeStatements(postgres.connection, "test", [
      "UPDATE schema_migrations SET checksum = 'x' WHERE name LIKE '%audit%'",
    ]);
    const drifted = await run(["migrate"], { env });
    expect([drifted.code, drifted.err]).toEqual([
      1,
      expect.stringMatching(/create_audit_log\.sql was changed after it was applied/),
    ]);
  } finally {
    await postgres.stop();
    await rm(postgres.dataDirectory, { recursive: true });
    await rm(directory, { recursive: true, force: true });
  }
});
