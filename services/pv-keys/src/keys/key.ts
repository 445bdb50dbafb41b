/** What a key is: its row, what people see of it, and when it counts as expired. */
import type { Key } from "@nexus/contracts/keys";
import type { ValidKey } from "@nexus/contracts/verify-key";
import { toId } from "@nexus/core";

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
  limits: unknown[];
  budget_ids: string[];
  metadata: Record<string, unknown>;
  tags: string[];
  expires_at: Date | null;
  created_at: Date;
  updated_at: Date;
  revoked_at: Date | null;
  rev: bigint;
  display_prefix: string;
}

/** The part of a key that a verifier needs. */
export type VerifiedKey = Pick<
  KeyRow,
  | "id"
  | "organization_id"
  | "owner_kind"
  | "owner_user_id"
  | "state"
  | "scopes"
  | "models"
  | "ip_allow"
  | "limits"
  | "budget_ids"
  | "expires_at"
  | "rev"
>;

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
    prefix: row.display_prefix,
    state: row.state,
    scopes: row.scopes,
    models: row.models,
    metadata: row.metadata,
    tags: row.tags,
    expires_at: row.expires_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
    revoked_at: row.revoked_at?.toISOString() ?? null,
    rev: Number(row.rev),
  };
}

/** What a verifier is told of a key that is good. */
export function validAnswer(row: VerifiedKey): ValidKey {
  return {
    valid: true,
    key_id: toId("key", row.id),
    organization_id: toId("organization", row.organization_id),
    owner: ownerOf(row),
    state: "active",
    expires_at: row.expires_at?.toISOString() ?? null,
    scopes: row.scopes,
    models: row.models,
    ip_allow: row.ip_allow,
    limits: row.limits,
    budget_ids: row.budget_ids.map((id) => toId("budget", id)),
    rev: Number(row.rev),
  };
}

function ownerOf(row: Pick<KeyRow, "owner_kind" | "owner_user_id">): { kind: KeyRow["owner_kind"]; id: string | null } {
  return { kind: row.owner_kind, id: row.owner_user_id === null ? null : toId("user", row.owner_user_id) };
}
