import type { KeyRecord } from "@nexus/contracts/key-record";
import { newId } from "@nexus/core";

/** A key as pv-keys answers it: active, of a person, with an expiry. */
export function someKey(): KeyRecord {
  return {
    key_id: newId("key"),
    organization_id: "org_00000000-0000-7000-8000-000000000000",
    owner: { kind: "user", id: "usr_00000000-0000-7000-8000-000000000000" },
    kind: "sk",
    environment: "live",
    version: 1,
    state: "active",
    expires_at: new Date(Date.now() + 90 * 24 * 3600 * 1000).toISOString(),
    scopes: ["ai:*", "usage:read"],
    models: null,
    ip_allow: null,
    limits: [],
    concurrency: null,
    quota: null,
    budget_ids: [],
    tags: [],
    created_at: new Date().toISOString(),
    rev: 1,
  };
}
