/** Who manages keys: a signed-in person, a root key of the organization, or the operator's policy for leaked keys. */
import type { AuditActor } from "@nexus/audit";
import { assert, type OrganizationId, Problem, uuidOf } from "@nexus/core";
import type { Caller } from "@nexus/http";
import type { KeyRow } from "./key.ts";

interface Person {
  kind: "person";
  /** uuid */
  userId: string;
  isAdmin: boolean;
}

interface RootKey {
  kind: "root_key";
  /** The models that it may give; `null`: every one. */
  models: readonly string[] | null;
}

/** What the operator wants done to keys that were found in public; only ever takes rights away, of any kind of key. */
interface LeakPolicy {
  kind: "leak_policy";
}

export interface KeyManager {
  by: Person | RootKey | LeakPolicy;
  organizationId: OrganizationId;
  /** uuid of the organization */
  tenant: string;
  actor: AuditActor;
}

/** @throws Problem `forbidden` for keys that are no root keys, whatever scopes they hold */
export function managerOf(caller: Caller): KeyManager {
  assert(caller.kind !== "service", "no service comes to the published listener");
  const tenant = uuidOf("organization", caller.organizationId);
  assert(tenant !== undefined, "a verified caller has well-formed ids");
  const common = { organizationId: caller.organizationId, tenant };
  if (caller.kind === "key") {
    if (caller.keyKind !== "rk") throw new Problem("forbidden", "Of keys, only root keys manage keys.");
    return { ...common, by: { kind: "root_key", models: caller.models }, actor: { kind: "key", id: caller.keyId } };
  }
  const userId = uuidOf("user", caller.userId);
  assert(userId !== undefined, "a verified person has well-formed ids");
  const by = { kind: "person", userId, isAdmin: caller.roles.includes("admin") } as const;
  return { ...common, by, actor: { kind: "person", id: caller.userId } };
}

/** The part of a key's row that decides who may change it. */
type Changed = Pick<KeyRow, "kind" | "models">;

/**
 * A root key that was stolen must not outlive its discovery: it changes plain keys alone, so it can neither renew itself nor
 * make another of its kind.
 * @param narrows true for what only takes rights away: then it takes no administrator to do it to a service key
 * @throws Problem `forbidden`
 */
export function requireRightOver({ by }: KeyManager, key: Changed, { narrows = false } = {}): void {
  if (by.kind === "leak_policy") {
    assert(narrows, "the policy for leaked keys gives no rights");
  } else if (by.kind === "root_key") {
    if (key.kind !== "sk") throw new Problem("forbidden", "A root key manages sk keys alone.");
    // Whoever rotates a key holds it.
    if (!narrows && !isWithin(key.models, by.models)) throw new Problem("forbidden", "The root key is bound to fewer models.");
  } else if (key.kind === "svc" && !narrows && !by.isAdmin) {
    throw new Problem("forbidden", "Only an administrator makes or changes service keys.");
  }
}

function isWithin(models: readonly string[] | null, ceiling: readonly string[] | null): boolean {
  if (ceiling === null) return true;
  return models !== null && models.every((model) => ceiling.includes(model));
}
