/** What every change of one key has in common: its lock, its audit entry, its revision. */
import type { AuditEntry, AuditWriter } from "@nexus/audit";
import { type ChangeDeps, inChangeTransaction } from "@nexus/change-feed";
import type { Key } from "@nexus/contracts/keys";
import { assert, type Clock, Problem, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { auditKey } from "./audit-key.ts";
import { findKey } from "./key-list.store.ts";
import { type KeyManager, requireRightOver } from "./key-manager.ts";
import { displayPrefixOf, type KeyRow, presentKey } from "./key.ts";
import { type KeyEnd, lockKey, setRevision } from "./keys.store.ts";
import { requireRightToAll } from "./require-role.ts";

export interface ChangeKeyDeps extends ChangeDeps {
  clock: Clock;
  audit: AuditWriter;
}

export interface ChangeInput {
  manager: KeyManager;
  keyId: string;
  context: RequestContext;
}

/** What there is to say of the change; `undefined` from `apply` means that nothing had to change. */
interface Applied {
  action: `key.${string}`;
  /** Written with the revision, where that is all there is to change: others wait for the end of a key, so it takes few steps. */
  ends?: KeyEnd;
  details: AuditEntry["details"];
  personal?: AuditEntry["personal"];
}

/**
 * Applies a change to a key whose row is locked, so that of two changes at once the second sees what the first left.
 * @param narrows true for what only takes rights away
 * @throws Problem `not_found`, `forbidden`, and what `apply` throws
 */
export async function changeKey(
  deps: ChangeKeyDeps,
  { manager, keyId, context, narrows = false }: ChangeInput & { narrows?: boolean },
  apply: (tx: Db, before: KeyRow, at: Date) => Promise<Applied | undefined> | Applied | undefined,
): Promise<Key> {
  const id = uuidOf("key", keyId);
  if (id === undefined) throw new Problem("not_found");
  const key = { id, organizationId: manager.tenant };
  return await inChangeTransaction(deps, async (tx) => {
    if (!(await lockKey(tx, key))) throw new Problem("not_found");
    const before = await findKey(tx, key);
    assert(before, "a locked row is there");
    requireRightOver(manager, before, { narrows });
    await requireRightToAll(tx, manager, [before]);
    const applied = await apply(tx, before, new Date(deps.clock.now()));
    if (!applied) return presentKey(before);
    const { ends, ...event } = applied;
    const after = ends ? { ...before, ...ends } : await findKey(tx, key);
    assert(after, "a locked row is there");
    const details = { prefix: displayPrefixOf(before), ...event.details };
    await auditKey(deps, tx, { ...event, row: before, manager, context, details });
    const rev = await setRevision(tx, key, ends);
    return presentKey({ ...after, rev });
  });
}

/** Revoked is for ever: no change may touch such a key. @throws Problem `conflict` */
export function requireNotRevoked(row: KeyRow): void {
  if (row.state === "revoked") throw new Problem("conflict", "The key is revoked, which is for ever.");
}
