/** What a person may do beyond their own keys: that hangs on their role in the organization, as it is at this moment. */
import { allowsScope, Problem } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { KeyManager } from "./key-manager.ts";
import type { KeyRow } from "./key.ts";
import { findMemberRole } from "./members.store.ts";

/**
 * Their own keys everybody may change; those of others, and those of the organization, its owners and administrators alone.
 * @throws Problem `forbidden`
 */
export async function requireRightToAll(
  db: Db,
  manager: KeyManager,
  keys: readonly Pick<KeyRow, "owner_user_id">[],
): Promise<void> {
  const { by } = manager;
  if (by.kind !== "person" || keys.every((key) => key.owner_user_id === by.userId)) return;
  await requireRole(db, manager, "Only its owner, or an owner or administrator of the organization, may change a key.");
}

/**
 * A root key has a right over everybody's keys, and one that reads the audit log sees what everybody did: whoever makes such a
 * key must have that right too.
 * @throws Problem `forbidden`
 */
export async function requireRightToMake(
  db: Db,
  manager: KeyManager,
  keys: readonly Pick<KeyRow, "kind" | "scopes">[],
): Promise<void> {
  if (keys.some(({ kind }) => kind === "rk"))
    await requireRole(db, manager, "Only an owner or administrator of the organization makes root keys.");
  if (keys.some(({ scopes }) => allowsScope(scopes, "audit:read")))
    await requireRole(db, manager, "Only an owner or administrator of the organization lets keys read the audit log.");
}

async function requireRole(db: Db, { by, tenant }: KeyManager, detail: string): Promise<void> {
  if (by.kind !== "person" || by.isAdmin) return;
  const role = await findMemberRole(db, { tenant, userId: by.userId });
  if (role !== "owner" && role !== "admin") throw new Problem("forbidden", detail);
}
