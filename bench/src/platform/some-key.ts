import type { KeyRecord } from "@nexus/contracts/key-record";
import { someKeyRecord } from "@nexus/testing";

/** A key as pv-keys answers it: active, of a person, with an expiry. */
export function someKey(): KeyRecord {
  return someKeyRecord({
    environment: "live",
    owner: { kind: "user", id: "usr_00000000-0000-7000-8000-000000000000" },
    expires_at: new Date(Date.now() + 90 * 24 * 3600 * 1000).toISOString(),
  });
}
