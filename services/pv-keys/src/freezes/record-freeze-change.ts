import type { AuditWriter } from "@nexus/audit";
import type { ChangeDeps } from "@nexus/change-feed";
import { type Clock, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import type { Aim, Freezer } from "./freezer.ts";
import { type FreezeRow, recordFreeze } from "./freezes.store.ts";

export interface FreezeChangeDeps extends ChangeDeps {
  clock: Clock;
  audit: AuditWriter;
}

export interface FreezeInput {
  freezer: Freezer;
  context: RequestContext;
}

/** What a freeze and a thaw have in common: the audit entry, then the revision. */
export async function recordFreezeChange(
  { audit }: Pick<FreezeChangeDeps, "audit">,
  tx: Db,
  change: FreezeInput & {
    freeze: Aim & { id: string };
    action: "freeze.created" | "freeze.thawed";
    /** What people wrote: it may name somebody. */
    personal?: Record<string, string>;
  },
): Promise<FreezeRow> {
  const { freeze, freezer, action, context, personal } = change;
  await audit.write(tx, {
    action,
    outcome: "success",
    organizationId: freezer.organizationId,
    actor: freezer.actor,
    targets: [{ kind: "freeze", id: toId("freeze", freeze.id) }],
    context,
    details: describeAim(freeze),
    ...(personal && { personal }),
  });
  return await recordFreeze(tx, freeze.id);
}

/** The facts of a freeze that name nobody but by id. */
function describeAim({ authority, target_kind, target, organization_id }: Aim) {
  return {
    authority,
    kind: target_kind,
    target: target_kind === "everything" ? null : target,
    organization_id: organization_id === null ? null : toId("organization", organization_id),
  };
}
