import type { Freeze } from "@nexus/contracts/freezes";
import { toId } from "@nexus/core";
import type { FreezeRow } from "./freezes.store.ts";

export function presentFreeze(row: FreezeRow): Freeze {
  return {
    id: toId("freeze", row.id),
    authority: row.authority,
    kind: row.target_kind,
    target: row.target_kind === "everything" ? null : row.target,
    organization_id: row.organization_id === null ? null : toId("organization", row.organization_id),
    reason: row.reason,
    created_by: toId("user", row.created_by),
    created_at: row.created_at.toISOString(),
    thawed_at: row.thawed_at?.toISOString() ?? null,
    thawed_by: row.thawed_by === null ? null : toId("user", row.thawed_by),
    rev: Number(row.rev),
  };
}
