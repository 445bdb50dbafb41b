import { inChangeTransaction } from "@nexus/change-feed";
import type { FreezeRequest } from "@nexus/contracts/freezes";
import { newUuid, Problem } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type Aim, aimOf } from "./freezer.ts";
import { findOpenFreeze, type FreezeRow, insertFreeze } from "./freezes.store.ts";
import { type FreezeChangeDeps, type FreezeInput, recordFreezeChange } from "./record-freeze-change.ts";

/**
 * Freezes what the request names, or finds the freeze that already holds it: the same answer, and nothing changes.
 * @throws Problem `forbidden`, `not_found`, `invalid_request`
 */
export async function freeze(
  deps: FreezeChangeDeps,
  { request, ...by }: FreezeInput & { request: FreezeRequest },
): Promise<{ row: FreezeRow; isNew: boolean }> {
  const aim = await aimOf(deps.db, by.freezer, request);
  const { reason } = request;
  return await inChangeTransaction(deps, async (tx) => {
    const createdAt = new Date(deps.clock.now());
    const id = newUuid(createdAt.getTime());
    const isNew = await insertFreeze(tx, { ...aim, id, reason, created_by: by.freezer.userId, created_at: createdAt });
    if (!isNew) return { row: await thatHolds(tx, aim), isNew };
    const change = { ...by, freeze: { ...aim, id }, action: "freeze.created", personal: { reason } } as const;
    return { row: await recordFreezeChange(deps, tx, change), isNew };
  });
}

async function thatHolds(tx: Db, aim: Aim): Promise<FreezeRow> {
  const row = await findOpenFreeze(tx, aim);
  // Thawed between the two statements.
  if (!row) throw new Problem("conflict", "Somebody is thawing the same at this moment. Ask again.");
  return row;
}
