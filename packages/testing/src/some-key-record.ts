import type { KeyRecord } from "@nexus/contracts/key-record";
import { newId } from "@nexus/core";

/** What is known of a key that nothing is special about; `change` replaces parts of it. */
export function someKeyRecord(change: Partial<KeyRecord> = {}): KeyRecord {
  return {
    key_id: newId("key"),
    organization_id: newId("organization"),
    owner: { kind: "organization", id: null },
    kind: "sk",
    environment: "test",
    version: 1,
    state: "active",
    expires_at: null,
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
    ...change,
  };
}
