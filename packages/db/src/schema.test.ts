import { createTestDatabase, type TestDatabase } from "@nexus/testing";
import { sql } from "kysely";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Connection } from "./connection.ts";

let database: TestDatabase;
const clients: Client[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end()));
  await database.drop();
});

async function connect(connection: Connection): Promise<Client> {
  const client = new Client(connection);
  clients.push(client);
  await client.connect();
  return client;
}

const accountTables = ["organizations", "users", "members", "accounts", "sessions", "setup_codes", "signing_keys"];
const everything = "SELECT, INSERT, UPDATE, DELETE";

/** What every verifier reads and writes to hear of changes and to know the keys. */
const feed = {
  idempotency_keys: everything,
  changes: "SELECT",
  change_counter: "SELECT",
  verifier_leases: everything,
  verifiable_keys: "SELECT",
  freezes: "SELECT",
};
const lookups = { key_formats: "SELECT", key_peppers: "SELECT" };

/** Whatever is not in here, no service may do. */
const granted: Record<string, Record<string, string>> = {
  nexus_api: {
    ...Object.fromEntries(accountTables.map((table) => [table, everything])),
    ...Object.fromEntries(
      ["audit_log", "audit_inbox", "audit_personal", "module_checks"].map((table) => [table, "SELECT, INSERT"]),
    ),
    modules: "SELECT, INSERT, UPDATE",
    module_incidents: "SELECT, INSERT, UPDATE",
    ...feed,
    ...lookups,
    schema_migrations: "SELECT",
  },
  nexus_keys: {
    key_formats: "SELECT, INSERT, UPDATE, DELETE",
    members: "SELECT",
    api_keys: "SELECT, INSERT, UPDATE",
    api_key_versions: "SELECT, INSERT, UPDATE",
    key_peppers: "SELECT, INSERT",
    key_encryption_keys: "SELECT, INSERT",
    secrets: "SELECT, INSERT, UPDATE",
    secret_versions: "SELECT, INSERT, UPDATE",
    secret_rewraps: "SELECT, INSERT, UPDATE",
    key_leaks: "SELECT, INSERT",
    key_uses: "SELECT",
    key_quotas: "SELECT",
    key_shares: everything,
    quota_leases: "SELECT",
    audit_log: "INSERT",
    audit_inbox: "INSERT",
    audit_personal: "INSERT",
    ...feed,
    freezes: "SELECT, INSERT, UPDATE",
    schema_migrations: "SELECT",
  },
  nexus_ai: {
    budgets: "SELECT, INSERT, UPDATE",
    budget_accounts: "SELECT, INSERT, UPDATE",
    budget_alerts: "SELECT, INSERT, UPDATE",
    credit_entries: "SELECT, INSERT",
    gateway_entries: "SELECT, INSERT, UPDATE, DELETE",
    budget_grants: "SELECT, INSERT, UPDATE, DELETE",
    usage_events: "SELECT, INSERT",
    usage_hours: "SELECT, INSERT, UPDATE",
    model_prices: "SELECT, INSERT",
    content_log_settings: "SELECT, INSERT, UPDATE",
    request_contents: "SELECT, INSERT, DELETE",
    usage_minutes: everything,
    audit_log: "INSERT",
    audit_inbox: "INSERT",
    audit_personal: "INSERT",
    ...feed,
    ...lookups,
    schema_migrations: "SELECT",
  },
};

test.each(Object.keys(granted))("%s may do exactly what it needs, on every table and partition", async (role) => {
  const { db } = database.openOwner();
  const rows = await sql<{ table: string; privileges: string }>`
    SELECT c.relname AS table, string_agg(p.name, ', ' ORDER BY p.place) AS privileges
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
    CROSS JOIN unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES','TRIGGER']) WITH ORDINALITY AS p (name, place)
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_table_privilege(${role}, c.oid, p.name)
    GROUP BY c.relname`.execute(db);
  expect(Object.fromEntries(rows.rows.map((row) => [row.table, row.privileges]))).toEqual(granted[role]);
});

test.each(Object.keys(granted))("%s is no superuser, owns nothing and can become nobody else", async (role) => {
  const { db } = database.openOwner();
  const { rows } = await sql`
    SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS powerful,
      EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) AS member,
      EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid) AS owner,
      has_schema_privilege(r.oid, 'public', 'CREATE') AS creates,
      has_database_privilege(r.oid, current_database(), 'CREATE, TEMPORARY') AS makes
    FROM pg_roles r WHERE rolname = ${role}`.execute(db);
  expect(rows).toEqual([{ powerful: false, member: false, owner: false, creates: false, makes: false }]);
});

test.each([
  ["api", "UPDATE api_keys SET state = 'active'"],
  ["api", "INSERT INTO budgets (id) VALUES (gen_random_uuid())"],
  ["keys", "UPDATE users SET role = 'admin'"],
  ["keys", "SELECT * FROM sessions"],
  ["keys", "SELECT * FROM audit_log"],
  ["ai", "SELECT * FROM users"],
  ["ai", "UPDATE api_keys SET state = 'active'"],
  ["ai", "SELECT * FROM api_key_versions"],
  ["ai", "UPDATE usage_events SET cost_nanos = 0"],
  ["ai", "UPDATE key_quotas SET used = 0"],
  ["keys", "DELETE FROM quota_leases"],
  ["ai", "SELECT record_change('key', gen_random_uuid(), NULL)"],
  ["ai", "SELECT record_gateway_change('key', gen_random_uuid(), NULL)"],
  ["api", "UPDATE changes SET rev = 0"],
  ["api", "UPDATE change_counter SET rev = 0"],
  ["api", "CREATE TABLE mine (n integer)"],
  ["api", "SET ROLE nexus_user"],
] as const)("the %s role is refused: %s", async (role, statement) => {
  const client = await connect(database[role]);
  await expect(client.query(statement)).rejects.toMatchObject({ code: "42501" });
});

test("a service finishes its usual statements by its own role", async () => {
  const api = await connect(database.api);
  const made = await api.query("SELECT record_change('session', gen_random_uuid(), NULL) AS rev");
  expect(Number(made.rows[0].rev)).toBeGreaterThan(0);
  for (const role of ["api", "ai", "keys"] as const) {
    const client = await connect(database[role]);
    expect((await client.query("SELECT ensure_month_partitions() AS made")).rows).toEqual([{ made: 0 }]);
  }
});

const auditEntry = `INSERT INTO audit_log VALUES (gen_random_uuid(), now(), now(), NULL, 'test.made', 'success',
  '{}', '[]', '{}', '{}', 1, gen_random_uuid(), 1, '\\x00', decode(repeat('00', 32), 'hex'))`;

test("an audit entry can be changed and removed by nobody, the owner included, on the table and on its partitions", async () => {
  const keys = await connect(database.keys);
  await keys.query(auditEntry);
  const owner = await connect(database.owner);
  const partitions = await owner.query<{ name: string }>(
    "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_log'::regclass",
  );
  expect(partitions.rows.length).toBeGreaterThanOrEqual(5);
  const filled = await owner.query<{ name: string }>("SELECT tableoid::regclass::text AS name FROM audit_log");
  for (const table of ["audit_log", filled.rows[0]!.name]) {
    await expect(owner.query(`UPDATE ${table} SET outcome = 'failure'`)).rejects.toThrow("append-only");
    await expect(owner.query(`DELETE FROM ${table}`)).rejects.toThrow("append-only");
  }
  for (const table of ["audit_log", ...partitions.rows.map((row) => row.name)]) {
    await expect(owner.query(`TRUNCATE ${table}`), table).rejects.toThrow("append-only");
  }
  expect((await owner.query("SELECT outcome FROM audit_log")).rows).toEqual([{ outcome: "success" }]);
});

test("an attempt is one usage row, however often it is written", async () => {
  const ai = await connect(database.ai);
  const insert = `INSERT INTO usage_events (occurred_at, request_id, attempt, organization_id, endpoint, model, provider, upstream_model,
      stream, outcome, input_tokens, output_tokens, usage_source, cost_nanos, duration_ms)
    VALUES (date_trunc('day', now()), '018f0000-0000-7000-8000-000000000001', 1, gen_random_uuid(), '/v1/chat/completions', 'm', 'p', 'm',
      false, 'ok', 1, 1, 'counted', 1, 1) ON CONFLICT DO NOTHING`;
  expect([(await ai.query(insert)).rowCount, (await ai.query(insert)).rowCount]).toEqual([1, 0]);
});

test("revisions have no gap and appear in their order, with writers at once and some of them rolled back", async () => {
  const other = await createTestDatabase();
  const [one, two, reader] = await Promise.all([other.api, other.keys, other.ai].map((connection) => connect(connection)));
  const done = new AbortController();
  const seen = { reads: 0 };
  const write = async (client: Client, kind: string): Promise<number[]> => {
    const kept: number[] = [];
    // However late the reader gets its turn, it has looked amid the writing.
    for (let i = 0; i < 60 || seen.reads <= 5; i++) {
      await client.query("BEGIN");
      const { rows } = await client.query("SELECT record_change($1, gen_random_uuid(), NULL) AS rev", [kind]);
      const keep = i % 3 !== 0;
      await client.query(keep ? "COMMIT" : "ROLLBACK");
      if (keep) kept.push(Number(rows[0].rev));
    }
    return kept;
  };
  const watch = async (): Promise<void> => {
    while (!done.signal.aborted) {
      // Whoever has seen rev n has seen every rev below it.
      const { rows } = await reader!.query("SELECT count(*) AS rows, coalesce(max(rev), 0) AS rev FROM changes");
      expect(rows[0].rows).toBe(rows[0].rev);
      seen.reads++;
    }
  };
  const watching = watch();
  const revs = (await Promise.all([write(one!, "session"), write(two!, "key")])).flat().toSorted((a, b) => a - b);
  done.abort();
  await watching;
  expect(revs.length).toBeGreaterThanOrEqual(80);
  expect(revs).toEqual(Array.from(revs, (_, i) => i + 1));
  await Promise.all([one, two, reader].map((client) => client!.end()));
  await other.drop();
});

test("partitions are made once, also by callers at the same time, and reach three months ahead", async () => {
  const owner = await connect(database.owner);
  await owner.query("CREATE TABLE things (at timestamptz NOT NULL, n integer) PARTITION BY RANGE (at)");
  await owner.query("CREATE INDEX ON things (n)");
  await owner.query("INSERT INTO partitioned_tables (table_name) VALUES ('things')");
  const callers = await Promise.all(
    [database.api, database.ai, database.keys, database.owner].map((connection) => connect(connection)),
  );
  const made = await Promise.all(
    callers.map(async (client) => (await client.query("SELECT ensure_month_partitions() AS made")).rows[0].made),
  );
  expect(made.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 5]);
  await owner.query("INSERT INTO things VALUES (now() - interval '1 month', 1), (now(), 2), (now() + interval '3 months', 3)");
  await expect(owner.query("INSERT INTO things VALUES (now() + interval '6 months', 4)")).rejects.toThrow("no partition");
  const indexes = await owner.query("SELECT count(*) FROM pg_indexes WHERE tablename LIKE 'things_%'");
  expect(Number(indexes.rows[0].count)).toBe(5);
});

test("a long reader of a log table does not keep its partitions from being made", async () => {
  const reader = await connect(database.api);
  await reader.query("BEGIN");
  await reader.query("SELECT count(*) FROM audit_log");
  const maker = await connect(database.keys);
  await maker.query("SET lock_timeout = '2s'");
  expect((await maker.query("SELECT ensure_month_partitions(4) AS made")).rows[0].made).toBeGreaterThan(0);
  await reader.query("COMMIT");
});
