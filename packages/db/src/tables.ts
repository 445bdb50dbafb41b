/**
 * The rows of every table in `migrations/`, as Kysely sees them. Written by hand; `tables.test.ts` compares them with a
 * migrated database. int8 → bigint, timestamptz → Date, bytea → Buffer, inet and cidr → string, arrays → arrays.
 */
import type { ColumnType, Generated, Kysely } from "kysely";
import type { ContentTables } from "./content-tables.ts";
import type { GeneratedJson, Json } from "./json-column.ts";
import type { KeyTables, Views } from "./key-tables.ts";
import type { UsageRollup } from "./usage-rollup.ts";

export interface Tables extends KeyTables, ContentTables {
  organizations: {
    id: string;
    name: string;
    personal: Generated<boolean>;
    created_at: Generated<Date>;
  };
  users: {
    id: string;
    email: string;
    email_verified: Generated<boolean>;
    name: string;
    image: string | null;
    role: Generated<"user" | "admin">;
    created_at: Generated<Date>;
    updated_at: Generated<Date>;
    disabled_at: Date | null;
  };
  members: {
    organization_id: string;
    user_id: string;
    role: "owner" | "admin" | "member";
    created_at: Generated<Date>;
  };
  accounts: {
    id: string;
    user_id: string;
    provider_id: string;
    account_id: string;
    /** A PHC string; `null` where the provider is not `credential`. */
    password_hash: string | null;
    created_at: Generated<Date>;
    updated_at: Generated<Date>;
  };
  sessions: {
    id: string;
    /** SHA-256 of the token. */
    token_hash: Buffer;
    user_id: string;
    organization_id: string;
    amr: string[];
    aal: number;
    auth_time: Date;
    ip: string | null;
    user_agent: string | null;
    created_at: Generated<Date>;
    last_seen_at: Generated<Date>;
    idle_expires_at: Date;
    absolute_expires_at: Date;
    revoked_at: Date | null;
    revoked_reason: string | null;
  };
  setup_codes: {
    code_hash: Buffer;
    created_at: Generated<Date>;
    expires_at: Date;
    used_at: Date | null;
  };
  signing_keys: {
    kid: string;
    algorithm: string;
    public_jwk: Json<Record<string, unknown>>;
    wrapped_private_jwk: Buffer;
    created_at: Generated<Date>;
    active_from: Date;
    retired_at: Date | null;
  };
  change_counter: {
    only_row: Generated<boolean>;
    generation: Generated<string>;
    rev: Generated<bigint>;
  };
  changes: {
    rev: bigint;
    kind: "key" | "session" | "user" | "freeze" | "secret" | "key_format" | "budget" | "price" | "gateway_settings";
    subject_id: string;
    organization_id: string | null;
    recorded_at: Generated<Date>;
  };
  verifier_leases: {
    verifier_id: string;
    service: string;
    node: string;
    generation: string;
    applied_rev: bigint;
    blind_seconds: number;
    renewals: Generated<bigint>;
    renewed_at: Generated<Date>;
  };
  idempotency_keys: {
    service: string;
    /** `usr_…` or `key_…`. */
    caller: string;
    key: string;
    /** SHA-256 of method, path and body. */
    request_hash: Buffer;
    /** `null`: it held a secret. */
    answer: ColumnType<unknown, string | null | undefined, string | null>;
    /** Ids of what was made, where the answer held a secret. */
    made: ColumnType<string[] | null, string[] | null | undefined, string[] | null>;
    expires_at: Date;
  };
  audit_log: {
    id: string;
    recorded_at: Date;
    occurred_at: Date;
    organization_id: string | null;
    action: string;
    outcome: "success" | "failure" | "denied";
    actor: Json<Record<string, unknown>>;
    targets: Json<unknown[]>;
    context: Json<Record<string, unknown>>;
    details: Json<Record<string, unknown>>;
    schema_version: number;
    writer_id: string;
    writer_seq: bigint;
    canonical: Buffer;
    mac: Buffer;
  };
  audit_inbox: {
    entry_id: string;
    recorded_at: Date;
  };
  audit_personal: {
    entry_id: string;
    field: string;
    salt: Buffer;
    value: string;
  };
  budgets: {
    id: string;
    organization_id: string;
    level: "organization" | "user" | "key" | "model" | "tag" | "session" | "pool" | "credit";
    subject: Generated<string>;
    period: Generated<"total" | "day" | "week" | "month">;
    limit_nanos: bigint;
    enforcement: Generated<"hard" | "soft">;
    alert_percents: Generated<number[]>;
    frozen_at: Date | null;
    deleted_at: Date | null;
    created_at: Generated<Date>;
    updated_at: Generated<Date>;
  };
  budget_accounts: {
    id: string;
    budget_id: string;
    subject: Generated<string>;
    window_start: Date;
    window_end: Date | null;
    settled_nanos: Generated<bigint>;
    granted_nanos: Generated<bigint>;
    updated_at: Generated<Date>;
  };
  model_prices: {
    id: string;
    model: string;
    effective_from: Date;
    price: ColumnType<object | string, string, never>;
    note: string | null;
    created_by: string;
    created_at: Generated<Date>;
    withdrawn_at: Date | null;
  };
  budget_grants: {
    process_id: string;
    account_id: string;
    granted_nanos: bigint;
    obtained_nanos: Generated<bigint>;
    fence: Generated<bigint>;
  };
  budget_alerts: {
    account_id: string;
    percent: number;
    settled_nanos: bigint;
    limit_nanos: bigint;
    reached_at: Generated<Date>;
    attempts: Generated<number>;
    next_attempt_at: Generated<Date>;
    delivered_at: Date | null;
  };
  gateway_entries: {
    id: string;
    kind: "provider" | "model" | "route";
    name: string;
    document: Json<Record<string, unknown>>;
    version: Generated<number>;
    created_at: Generated<Date>;
    updated_at: Generated<Date>;
    updated_by: string;
  };
  credit_entries: {
    id: string;
    budget_id: string;
    amount_nanos: bigint;
    reference: string;
    note: string | null;
    created_by: string;
    created_at: Generated<Date>;
  };
  usage_events: {
    occurred_at: Date;
    request_id: string;
    attempt: number;
    organization_id: string;
    key_id: string | null;
    user_id: string | null;
    endpoint: string;
    requested_model: string | null;
    model: string;
    provider: string;
    upstream_model: string;
    stream: boolean;
    outcome: "ok" | "error" | "aborted" | "crash" | "overrun";
    http_status: number | null;
    error_code: string | null;
    failure: string | null;
    upstream_status: number | null;
    input_tokens: bigint;
    output_tokens: bigint;
    cached_input_tokens: Generated<bigint>;
    cache_write_tokens: Generated<bigint>;
    reasoning_tokens: Generated<bigint>;
    units: ColumnType<unknown, string | null | undefined, string | null>;
    usage_source: "provider" | "counted" | "bound" | "none";
    cost_nanos: bigint;
    reserved_nanos: Generated<bigint>;
    account_ids: Generated<string[]>;
    budget_decision: ColumnType<unknown, string | null | undefined, string | null>;
    session: string | null;
    tags: Generated<string[]>;
    price: ColumnType<unknown, string | null | undefined, string | null>;
    duration_ms: number;
    first_byte_ms: number | null;
    cached_answer: Generated<boolean>;
    guardrail: string | null;
    guardrail_action: "block" | "redact" | "warn" | null;
    client_request_id: string | null;
    trace_id: string | null;
    recorded_at: Generated<Date>;
  };
  usage_hours: UsageRollup;
  usage_minutes: UsageRollup;
  modules: {
    name: string;
    title: string;
    built_in: boolean;
    status: Generated<"operational" | "degraded" | "down" | "unknown" | "maintenance">;
    since: Generated<Date>;
    checked_at: Date | null;
    latency_ms: number | null;
    version: string | null;
    failures_in_a_row: Generated<number>;
    checks: GeneratedJson<unknown[]>;
  };
  module_checks: {
    checked_at: Date;
    module: string;
    status: string;
    latency_ms: number | null;
  };
  module_incidents: {
    id: string;
    module: string;
    status: "degraded" | "down" | "unknown";
    started_at: Date;
    ended_at: Date | null;
  };
  partitioned_tables: {
    table_name: string;
    append_only: Generated<boolean>;
  };
  schema_migrations: {
    name: string;
    /** SHA-256 of the file, hex. */
    checksum: string;
    applied_at: Generated<Date>;
    duration_ms: number;
  };
}

/** What every store takes: the database itself or an open transaction of it. */
export type Db = Kysely<Tables & Views>;
