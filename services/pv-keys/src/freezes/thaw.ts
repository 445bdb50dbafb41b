import { inChangeTransaction } from "@nexus/change-feed";
import { Problem, uuidOf } from "@nexus/core";
import { type FreezeRow, lockFreeze, markThawed } from "./freezes.store.ts";
import { type FreezeChangeDeps, type FreezeInput, recordFreezeChange } from "./record-freeze-change.ts";

/**
 * Ends a freeze. Thawing it again changes nothing and answers the same.
 * @throws Problem `not_found` for another organization's, `forbidden` for an administrator's
 */
export async function thaw(
  deps: FreezeChangeDeps,
  { id: freezeId, ...by }: FreezeInput & { id: string },
): Promise<{ row: FreezeRow; isNew: boolean }> {
  const { freezer } = by;
  const id = uuidOf("freeze", freezeId);
  if (id === undefined) throw new Problem("not_found");
  return await inChangeTransaction(deps, async (tx) => {
    const row = await lockFreeze(tx, { id, tenant: freezer.isAdmin ? undefined : freezer.tenant });
    if (!row) throw new Problem("not_found");
    if (row.authority === "platform" && !freezer.isAdmin) throw new Problem("forbidden", "Only an administrator may thaw that.");
    if (row.thawed_at) return { row, isNew: false };
    await markThawed(tx, id, { userId: freezer.userId, at: new Date(deps.clock.now()) });
    return { row: await recordFreezeChange(deps, tx, { ...by, freeze: row, action: "freeze.thawed" }), isNew: true };
  });
}
