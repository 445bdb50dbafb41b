import type { AuditEntry, AuditWriter } from "@nexus/audit";
import { toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import type { KeyManager } from "./key-manager.ts";

interface KeyEvent {
  action: `key.${string}`;
  row: { id: string };
  manager: KeyManager;
  context: RequestContext;
  details: AuditEntry["details"];
  /** What people wrote: it may name somebody. */
  personal?: AuditEntry["personal"];
}

/** The audit entry of a change to one key, in the transaction of the change. */
export async function auditKey({ audit }: { audit: AuditWriter }, tx: Db, event: KeyEvent): Promise<void> {
  await audit.write(tx, {
    action: event.action,
    outcome: "success",
    organizationId: event.manager.organizationId,
    actor: event.manager.actor,
    targets: [{ kind: "key", id: toId("key", event.row.id) }],
    context: event.context,
    details: event.details,
    personal: event.personal,
  });
}
