import { createTestDatabase } from "@nexus/testing";
import { type SelectType, sql } from "kysely";
import { expect, test } from "vitest";
import type { Tables } from "./tables.ts";

type Base<T> = T extends bigint
  ? "int8"
  : T extends Date
    ? "timestamptz"
    : T extends Buffer
      ? "bytea"
      : T extends boolean
        ? "bool"
        : T extends number
          ? "int2" | "int4"
          : T extends number[]
            ? "_int2"
            : T extends string[]
              ? "_text" | "_uuid" | "_cidr"
              : T extends string
                ? "text" | "uuid" | "inet"
                : "jsonb";
type ColumnName<T> = null extends T ? `${Base<NonNullable<T>>}?` : Base<T>;
type Columns = { [Table in keyof Tables]: { [Column in keyof Tables[Table]]: ColumnName<SelectType<Tables[Table][Column]>> } };

/** The compiler holds this against `Tables`, the test against a migrated database; so the two agree. */
const columns: Columns = {
  organizations: { id: "uuid", name: "text", personal: "bool", created_at: "timestamptz" },
  users: {
    id: "uuid",
    email: "text",
    email_verified: "bool",
    name: "text",
    image: "text?",
    role: "text",
    created_at: "timestamptz",
    updated_at: "timestamptz",
    disabled_at: "timestamptz?",
  },
  members: { organization_id: "uuid", user_id: "uuid", role: "text", created_at: "timestamptz" },
  accounts: {
    id: "uuid",
    user_id: "uuid",
    provider_id: "text",
    account_id: "text",
    password_hash: "text?",
    created_at: "timestamptz",
    updated_at: "timestamptz",
  },
  sessions: {
    id: "uuid",
    token_hash: "bytea",
    user_id: "uuid",
    organization_id: "uuid",
    amr: "_text",
    aal: "int2",
    auth_time: "timestamptz",
    ip: "inet?",
    user_agent: "text?",
    created_at: "timestamptz",
    last_seen_at: "timestamptz",
    idle_expires_at: "timestamptz",
    absolute_expires_at: "timestamptz",
    revoked_at: "timestamptz?",
    revoked_reason: "text?",
  },
  setup_codes: { code_hash: "bytea", created_at: "timestamptz", expires_at: "timestamptz", used_at: "timestamptz?" },
  signing_keys: {
    kid: "text",
    algorithm: "text",
    public_jwk: "jsonb",
    wrapped_private_jwk: "bytea",
    created_at: "timestamptz",
    active_from: "timestamptz",
    retired_at: "timestamptz?",
  },
  change_counter: { only_row: "bool", generation: "uuid", rev: "int8" },
  changes: { rev: "int8", kind: "text", subject_id: "uuid", organization_id: "uuid?", recorded_at: "timestamptz" },
  verifier_leases: {
    verifier_id: "uuid",
    service: "text",
    node: "text",
    generation: "uuid",
    applied_rev: "int8",
    blind_seconds: "int4",
    renewals: "int8",
    renewed_at: "timestamptz",
  },
  key_formats: {
    name: "text",
    prefix: "text",
    min_length: "int2",
    max_length: "int2",
    alphabet: "text",
    created_at: "timestamptz",
  },
  api_keys: {
    id: "uuid",
    organization_id: "uuid",
    owner_kind: "text",
    owner_user_id: "uuid?",
    name: "text",
    kind: "text",
    environment: "text",
    state: "text",
    scopes: "_text",
    models: "_text?",
    ip_allow: "_cidr?",
    limits: "jsonb",
    budget_ids: "_uuid",
    metadata: "jsonb",
    tags: "_text",
    expires_at: "timestamptz?",
    created_at: "timestamptz",
    created_by: "uuid?",
    updated_at: "timestamptz",
    revoked_at: "timestamptz?",
    rev: "int8",
    concurrency: "int4?",
    quota_limit: "int8?",
    quota_refill: "text?",
  },
  api_key_versions: {
    key_id: "uuid",
    version: "int4",
    hash: "bytea",
    pepper_version: "int2",
    display_prefix: "text",
    created_at: "timestamptz",
    last_used_at: "timestamptz?",
    retires_at: "timestamptz?",
    format: "text?",
  },
  key_shares: {
    id: "uuid",
    key_id: "uuid",
    version: "int4",
    token_hash: "bytea",
    ciphertext: "bytea?",
    created_at: "timestamptz",
    expires_at: "timestamptz",
    opened_at: "timestamptz?",
  },
  key_peppers: { version: "int2", fingerprint: "bytea", created_at: "timestamptz" },
  key_encryption_keys: { fingerprint: "text", name: "text", created_at: "timestamptz" },
  secrets: {
    id: "uuid",
    organization_id: "uuid?",
    name: "text",
    readers: "_text",
    version: "int4",
    created_at: "timestamptz",
    created_by: "uuid",
    updated_at: "timestamptz",
    deleted_at: "timestamptz?",
    rev: "int8",
  },
  secret_versions: {
    secret_id: "uuid",
    version: "int4",
    ciphertext: "bytea?",
    wrapped_key: "bytea?",
    wrapped_by: "text",
    created_at: "timestamptz",
    created_by: "uuid",
    destroyed_at: "timestamptz?",
    rewrap_failed: "uuid?",
  },
  secret_rewraps: {
    id: "uuid",
    to_fingerprint: "text",
    from_fingerprints: "_text",
    done: "int8",
    failed: "int8",
    started_at: "timestamptz",
    started_by: "uuid",
    finished_at: "timestamptz?",
    superseded: "bool",
  },
  key_uses: { hour: "timestamptz", key_id: "uuid", version: "int4", service: "text", outcome: "text", uses: "int8" },
  key_use_writers: { writer_id: "uuid", seq: "int8", written_at: "timestamptz" },
  freezes: {
    id: "uuid",
    authority: "text",
    target_kind: "text",
    target: "text",
    organization_id: "uuid?",
    reason: "text",
    created_by: "uuid",
    created_at: "timestamptz",
    thawed_at: "timestamptz?",
    thawed_by: "uuid?",
    rev: "int8",
  },
  idempotency_keys: {
    service: "text",
    caller: "text",
    key: "text",
    made: "_text?",
    request_hash: "bytea",
    answer: "jsonb?",
    expires_at: "timestamptz",
  },
  audit_log: {
    id: "uuid",
    recorded_at: "timestamptz",
    occurred_at: "timestamptz",
    organization_id: "uuid?",
    action: "text",
    outcome: "text",
    actor: "jsonb",
    targets: "jsonb",
    context: "jsonb",
    details: "jsonb",
    schema_version: "int2",
    writer_id: "uuid",
    writer_seq: "int8",
    canonical: "bytea",
    mac: "bytea",
  },
  audit_inbox: { entry_id: "uuid", recorded_at: "timestamptz" },
  audit_personal: { entry_id: "uuid", field: "text", salt: "bytea", value: "text" },
  budgets: {
    id: "uuid",
    organization_id: "uuid",
    level: "text",
    subject: "text",
    period: "text",
    limit_nanos: "int8",
    enforcement: "text",
    alert_percents: "_int2",
    frozen_at: "timestamptz?",
    deleted_at: "timestamptz?",
    created_at: "timestamptz",
    updated_at: "timestamptz",
  },
  budget_accounts: {
    id: "uuid",
    budget_id: "uuid",
    subject: "text",
    window_start: "timestamptz",
    window_end: "timestamptz?",
    settled_nanos: "int8",
    granted_nanos: "int8",
    updated_at: "timestamptz",
  },
  model_prices: {
    id: "uuid",
    model: "text",
    effective_from: "timestamptz",
    price: "jsonb",
    note: "text?",
    created_by: "uuid",
    created_at: "timestamptz",
    withdrawn_at: "timestamptz?",
  },
  budget_grants: { process_id: "uuid", account_id: "uuid", granted_nanos: "int8" },
  budget_alerts: {
    account_id: "uuid",
    percent: "int2",
    settled_nanos: "int8",
    limit_nanos: "int8",
    reached_at: "timestamptz",
    attempts: "int4",
    next_attempt_at: "timestamptz",
    delivered_at: "timestamptz?",
  },
  gateway_entries: {
    id: "uuid",
    kind: "text",
    name: "text",
    document: "jsonb",
    version: "int4",
    created_at: "timestamptz",
    updated_at: "timestamptz",
    updated_by: "text",
  },
  credit_entries: {
    id: "uuid",
    budget_id: "uuid",
    amount_nanos: "int8",
    reference: "text",
    note: "text?",
    created_by: "text",
    created_at: "timestamptz",
  },
  key_leaks: {
    id: "uuid",
    organization_id: "uuid",
    key_id: "uuid",
    version: "int4",
    source: "text",
    url: "text",
    place: "bytea",
    reported_at: "timestamptz",
    action: "text",
  },
  key_quotas: { key_id: "uuid", period_start: "timestamptz", used: "int8" },
  quota_leases: { process_id: "uuid", key_id: "uuid", held: "int8", leased_at: "timestamptz" },
  usage_events: {
    occurred_at: "timestamptz",
    request_id: "uuid",
    attempt: "int2",
    organization_id: "uuid",
    key_id: "uuid?",
    user_id: "uuid?",
    endpoint: "text",
    model: "text",
    provider: "text",
    upstream_model: "text",
    stream: "bool",
    outcome: "text",
    http_status: "int2?",
    error_code: "text?",
    input_tokens: "int8",
    output_tokens: "int8",
    cached_input_tokens: "int8",
    cache_write_tokens: "int8",
    reasoning_tokens: "int8",
    units: "jsonb?",
    usage_source: "text",
    cost_nanos: "int8",
    reserved_nanos: "int8",
    account_ids: "_uuid",
    budget_decision: "jsonb?",
    session: "text?",
    tags: "_text",
    price: "jsonb?",
    duration_ms: "int4",
    first_byte_ms: "int4?",
    cached_answer: "bool",
    guardrail: "text?",
    guardrail_action: "text?",
    client_request_id: "text?",
    trace_id: "text?",
    recorded_at: "timestamptz",
  },
  modules: {
    name: "text",
    title: "text",
    built_in: "bool",
    status: "text",
    since: "timestamptz",
    checked_at: "timestamptz?",
    latency_ms: "int4?",
    version: "text?",
    failures_in_a_row: "int4",
    checks: "jsonb",
  },
  module_checks: { checked_at: "timestamptz", module: "text", status: "text", latency_ms: "int4?" },
  module_incidents: { id: "uuid", module: "text", status: "text", started_at: "timestamptz", ended_at: "timestamptz?" },
  partitioned_tables: { table_name: "text", append_only: "bool" },
  schema_migrations: { name: "text", checksum: "text", applied_at: "timestamptz", duration_ms: "int4" },
};

test("the table types are the tables of a migrated database", async () => {
  const database = await createTestDatabase();
  const { rows } = await sql<{ table: string; column: string; type: string }>`
    SELECT c.relname AS table, a.attname AS column, t.typname || CASE WHEN a.attnotnull THEN '' ELSE '?' END AS type
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition`.execute(
    database.openOwner().db,
  );
  const found: Record<string, Record<string, string>> = {};
  for (const row of rows) (found[row.table] ??= {})[row.column] = row.type;
  expect(found).toEqual(columns);
  await database.drop();
});

test("every time column holds whole milliseconds, so that a Date read from it equals it", async () => {
  const database = await createTestDatabase();
  const { rows } = await sql`
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND data_type LIKE 'timestamp%' AND datetime_precision <> 3`.execute(database.openOwner().db);
  expect(rows).toEqual([]);
  await database.drop();
});
