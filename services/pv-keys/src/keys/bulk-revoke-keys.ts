import { inChangeTransaction } from "@nexus/change-feed";
import type { BulkRevoked, BulkRevokeRequest } from "@nexus/contracts/bulk-keys";
import { type FieldError, Problem, toId, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { auditKey } from "./audit-key.ts";
import type { ChangeKeyDeps } from "./change-key.ts";
import { type KeyManager, requireRightOver } from "./key-manager.ts";
import { lockKeys, lockKeysThatFit, type LockedKey, setRevisions } from "./keys.store.ts";
import { ownerFilter } from "./owner-filter.ts";
import { requireRightToAll } from "./require-role.ts";

/** Keys of one call by filter; the caller is told when there are more. */
const most = 1000;

interface BulkRevokeInput {
  manager: KeyManager;
  request: BulkRevokeRequest;
  context: RequestContext;
}

/**
 * Ends all keys named, or all that fit, in one transaction; those that were revoked already stay as they are.
 * @throws Problem `invalid_request`, `forbidden`, `not_found` naming the ids that are no keys of the organization
 */
export async function bulkRevokeKeys(deps: ChangeKeyDeps, { manager, request, context }: BulkRevokeInput): Promise<BulkRevoked> {
  return await inChangeTransaction(deps, async (tx) => {
    const locked = await lockTargets(tx, manager, request);
    const targets = locked.slice(0, most);
    for (const key of targets) requireRightOver(manager, key, { narrows: true });
    await requireRightToAll(tx, manager, targets);
    const active = targets.filter(({ state }) => state !== "revoked");
    const revoked = active.length === 0 ? [] : await revokeAll(tx, active);
    return { revoked, unchanged: targets.length - active.length, has_more: locked.length > most };
  });

  async function revokeAll(tx: Db, keys: readonly LockedKey[]): Promise<BulkRevoked["revoked"]> {
    const ids = keys.map(({ id }) => id);
    const at = new Date(deps.clock.now());
    for (const row of keys) {
      const details = { before: { state: row.state }, after: { state: "revoked" }, bulk: true };
      await auditKey(deps, tx, { action: "key.revoked", row, manager, context, details });
    }
    const revs = await setRevisions(tx, ids, {
      organizationId: manager.tenant,
      end: { state: "revoked", revoked_at: at, updated_at: at },
    });
    return ids.map((id) => ({ id: toId("key", id), rev: Number(revs.get(id)) }));
  }
}

async function lockTargets(tx: Db, manager: KeyManager, { ids, filter }: BulkRevokeRequest): Promise<LockedKey[]> {
  if (ids && !filter) return await lockNamed(tx, manager, ids);
  // An empty filter would fit every key: that has to be said, not left out.
  if (!filter || ids || Object.keys(filter).length === 0)
    throw new Problem("invalid_request", "Name either ids or a filter with at least one member.");
  const { owner, ...rest } = filter;
  // A root key has a right over plain keys alone, so its filter fits no others.
  const kind = manager.by.kind === "root_key" ? ("sk" as const) : undefined;
  const wanted = { ...rest, ...ownerFilter(owner, "/filter/owner"), kind, organizationId: manager.tenant };
  return await lockKeysThatFit(tx, wanted, most + 1);
}

async function lockNamed(tx: Db, manager: KeyManager, ids: readonly string[]): Promise<LockedKey[]> {
  const uuids = ids.map((id) => uuidOf("key", id));
  const known = [...new Set(uuids.filter((id) => id !== undefined))];
  const locked = await lockKeys(tx, known, manager.tenant);
  const found = new Set(locked.map(({ id }) => id));
  const errors: FieldError[] = uuids.flatMap((id, index) =>
    id !== undefined && found.has(id) ? [] : [{ pointer: `/ids/${index}`, detail: "is no key of your organization" }],
  );
  if (errors.length > 0) throw new Problem("not_found", undefined, { errors: errors.slice(0, 20) });
  return locked;
}
