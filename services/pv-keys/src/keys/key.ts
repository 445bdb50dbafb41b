/** What a key is: its row, what people see of it, and when it counts as expired. */
import type { KeyLimit } from "@nexus/contracts/key-fields";
import type { Key, KeyVersion } from "@nexus/contracts/keys";
import { assert, toId } from "@nexus/core";

export interface KeyRow {
  id: string;
  organization_id: string;
  owner_kind: "user" | "organization" | "service";
  owner_user_id: string | null;
  name: string;
  kind: "sk" | "rk" | "svc";
  environment: "live" | "test";
  /** As of PostgreSQL's time when it was read: an active key whose time is over is `expired`. */
  state: "active" | "disabled" | "revoked" | "expired";
  scopes: string[];
  models: string[] | null;
  ip_allow: string[] | null;
  limits: KeyLimit[];
  concurrency: number | null;
  quota_limit: bigint | null;
  quota_refill: "never" | "day" | "week" | "month" | null;
  budget_ids: string[];
  metadata: Record<string, unknown>;
  tags: string[];
  expires_at: Date | null;
  created_at: Date;
  updated_at: Date;
  revoked_at: Date | null;
  rev: bigint;
  /** Newest first: the newest ten. */
  versions: VersionRow[];
}

/** As JSON from PostgreSQL, so times are text. */
export interface VersionRow {
  version: number;
  display_prefix: string;
  format: string | null;
  created_at: string;
  last_used_at: string | null;
  retires_at: string | null;
  drained: boolean;
}

export const defaultScopes: readonly string[] = ["ai:*", "usage:read"];
/** Milliseconds: a key that nobody thought about again ends by itself. */
export const defaultLifetimeMs = 90 * 24 * 3600 * 1000;
/** Bytes of JSON. */
export const metadataLimitBytes = 16 * 1024;

export function presentKey(row: KeyRow): Key {
  return {
    id: toId("key", row.id),
    organization_id: toId("organization", row.organization_id),
    owner: ownerOf(row),
    name: row.name,
    kind: row.kind,
    environment: row.environment,
    prefix: displayPrefixOf(row),
    state: row.state,
    scopes: row.scopes,
    models: row.models,
    ip_allow: row.ip_allow,
    limits: row.limits,
    concurrency: row.concurrency,
    quota: quotaOf(row),
    budget_ids: row.budget_ids.map((id) => toId("budget", id)),
    metadata: row.metadata,
    tags: row.tags,
    expires_at: row.expires_at?.toISOString() ?? null,
    versions: row.versions.map(presentVersion),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
    revoked_at: row.revoked_at?.toISOString() ?? null,
    rev: Number(row.rev),
  };
}

/** The part of the newest secret that may be shown. */
export function displayPrefixOf(row: Pick<KeyRow, "versions">): string {
  const [newest] = row.versions;
  assert(newest, "a key has a secret");
  return newest.display_prefix;
}

export function quotaOf(row: Pick<KeyRow, "quota_limit" | "quota_refill">): Key["quota"] {
  if (row.quota_limit === null || row.quota_refill === null) return null;
  return { limit: Number(row.quota_limit), refill: row.quota_refill };
}

function presentVersion(row: VersionRow): KeyVersion {
  const time = (text: string | null): string | null => (text === null ? null : new Date(text).toISOString());
  return {
    version: row.version,
    prefix: row.display_prefix,
    format: row.format,
    created_at: new Date(row.created_at).toISOString(),
    last_used_at: time(row.last_used_at),
    retires_at: time(row.retires_at),
    drained: row.drained,
  };
}

function ownerOf(row: Pick<KeyRow, "owner_kind" | "owner_user_id">): { kind: KeyRow["owner_kind"]; id: string | null } {
  return { kind: row.owner_kind, id: row.owner_user_id === null ? null : toId("user", row.owner_user_id) };
}
