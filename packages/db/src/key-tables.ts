/** The rows of the tables that pv-keys owns; the rules of `tables.ts` hold here too. */
import type { Generated } from "kysely";
import type { GeneratedJson } from "./json-column.ts";

export interface KeyTables {
  key_uses: {
    hour: Date;
    key_id: string;
    version: number;
    service: string;
    outcome: string;
    uses: bigint;
  };
  key_use_writers: {
    writer_id: string;
    seq: bigint;
    written_at: Generated<Date>;
  };
  api_keys: {
    id: string;
    organization_id: string;
    owner_kind: "user" | "organization" | "service";
    owner_user_id: string | null;
    name: string;
    kind: "sk" | "rk" | "svc";
    environment: "live" | "test";
    state: Generated<"active" | "disabled" | "revoked">;
    scopes: Generated<string[]>;
    /** `null`: every model that the organization may call. */
    models: string[] | null;
    /** `null`: from anywhere. */
    ip_allow: string[] | null;
    limits: GeneratedJson<unknown[]>;
    budget_ids: Generated<string[]>;
    metadata: GeneratedJson<Record<string, unknown>>;
    tags: Generated<string[]>;
    expires_at: Date | null;
    created_at: Generated<Date>;
    created_by: string | null;
    updated_at: Generated<Date>;
    revoked_at: Date | null;
    rev: bigint;
    concurrency: number | null;
    quota_limit: bigint | null;
    quota_refill: "never" | "day" | "week" | "month" | null;
  };
  key_formats: {
    name: string;
    prefix: string;
    min_length: number;
    max_length: number;
    alphabet: "base62" | "base64url" | "hex" | "printable";
    created_at: Generated<Date>;
  };
  api_key_versions: {
    key_id: string;
    version: number;
    /** HMAC-SHA-256(pepper, SHA-256(key)). */
    hash: Buffer;
    pepper_version: number;
    display_prefix: string;
    created_at: Generated<Date>;
    last_used_at: Date | null;
    retires_at: Date | null;
    /** The foreign format of an imported key; `null`: a key of ours. */
    format: string | null;
  };
  key_shares: {
    id: string;
    key_id: string;
    version: number;
    /** HKDF-SHA-256 of the link's token; another output of it opens the secret. */
    token_hash: Buffer;
    /** Nonce, AES-256-GCM of the secret, tag; `null` once it was shown. */
    ciphertext: Buffer | null;
    created_at: Generated<Date>;
    expires_at: Date;
    opened_at: Date | null;
  };
  key_leaks: {
    id: string;
    organization_id: string;
    key_id: string;
    version: number;
    /** Who told: `github:content`, `github:commit` …, or `admin`. */
    source: string;
    /** Where it was seen; empty where that was not told. */
    url: string;
    /** SHA-256 of source and url. */
    place: Buffer;
    reported_at: Generated<Date>;
    action: "revoked" | "disabled" | "none";
  };
  key_quotas: {
    key_id: string;
    period_start: Date;
    /** Spent, or in a block that a process has not accounted for. */
    used: bigint;
  };
  quota_leases: {
    process_id: string;
    key_id: string;
    held: bigint;
    leased_at: Generated<Date>;
  };
  key_peppers: {
    version: number;
    /** HMAC-SHA-256(pepper, a fixed text). */
    fingerprint: Buffer;
    created_at: Generated<Date>;
  };
  key_encryption_keys: {
    fingerprint: string;
    name: string;
    created_at: Generated<Date>;
  };
  secrets: {
    id: string;
    /** `null`: the installation's own. */
    organization_id: string | null;
    name: string;
    readers: string[];
    version: number;
    created_at: Generated<Date>;
    created_by: string;
    updated_at: Generated<Date>;
    deleted_at: Date | null;
    rev: bigint;
  };
  secret_versions: {
    secret_id: string;
    version: number;
    /** Nonce, AES-256-GCM of the value, tag; `null` once destroyed. */
    ciphertext: Buffer | null;
    wrapped_key: Buffer | null;
    /** Fingerprint of the key-encryption key. */
    wrapped_by: string;
    created_at: Generated<Date>;
    created_by: string;
    destroyed_at: Date | null;
    rewrap_failed: string | null;
  };
  secret_rewraps: {
    id: string;
    to_fingerprint: string;
    from_fingerprints: string[];
    done: Generated<bigint>;
    failed: Generated<bigint>;
    started_at: Generated<Date>;
    started_by: string;
    finished_at: Date | null;
    superseded: Generated<boolean>;
  };
  freezes: {
    id: string;
    authority: "platform" | "organization";
    target_kind: "everything" | "organization" | "owner" | "environment" | "model" | "provider" | "key";
    /** Empty for everything. */
    target: string;
    /** `null`: holds everywhere. */
    organization_id: string | null;
    reason: string;
    created_by: string;
    created_at: Generated<Date>;
    thawed_at: Date | null;
    thawed_by: string | null;
    rev: bigint;
  };
}

/** What is read only, computed by PostgreSQL from the tables. Columns of a view are nullable to PostgreSQL; these say what comes. */
export interface Views {
  /** Every secret version of every key, as a verifier needs it. */
  verifiable_keys: {
    hash: Buffer;
    version: number;
    pepper_version: number;
    format: string | null;
    key_id: string;
    organization_id: string;
    owner_kind: "user" | "organization" | "service";
    owner_user_id: string | null;
    kind: "sk" | "rk" | "svc";
    environment: "live" | "test";
    state: "active" | "disabled" | "revoked";
    /** The earlier of the key's own end and the version's. */
    expires_at: Date | null;
    scopes: string[];
    models: string[] | null;
    ip_allow: string[] | null;
    limits: unknown[];
    concurrency: number | null;
    quota_limit: bigint | null;
    quota_refill: "never" | "day" | "week" | "month" | null;
    budget_ids: string[];
    tags: string[];
    created_at: Date;
    rev: bigint;
  };
}
