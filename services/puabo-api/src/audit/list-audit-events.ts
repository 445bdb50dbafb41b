import type { AuditEvent, AuditEventsQuery } from "@nexus/contracts/audit";
import { assert, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, decodeCursor, pageOf } from "@nexus/db";
import type { Caller } from "@nexus/http";
import { listAuditRows } from "./audit-log.store.ts";

interface AuditPage {
  data: AuditEvent[];
  next_cursor: string | null;
  has_more: boolean;
}

interface AuditReading {
  query: AuditEventsQuery;
  caller: Caller;
}

/**
 * A page of the audit log: where a commitment stands, its value, unless the person was erased. Administrators and service keys read
 * all of it, other keys what concerns their own organization.
 */
export async function listAuditEvents(
  needs: { db: Db; cursorSecret: Buffer },
  { query, caller }: AuditReading,
): Promise<AuditPage> {
  const limit = query.limit ?? 20;
  const asked = query.organization_id === undefined ? undefined : organizationUuid(query.organization_id);
  const own = tenantOf(caller);
  // Another's entries look as if there were none.
  if (own !== undefined && asked !== undefined && asked !== own) return { data: [], next_cursor: null, has_more: false };
  const rows = await listAuditRows(needs.db, {
    action: query.action,
    organizationId: own ?? asked,
    from: query.from === undefined ? undefined : new Date(query.from),
    to: query.to === undefined ? undefined : new Date(query.to),
    before: query.cursor === undefined ? undefined : decodeCursor(query.cursor, needs.cursorSecret),
    limit: limit + 1,
  });
  return pageOf(rows, { limit, secret: needs.cursorSecret, createdAt: (row) => row.recorded_at, present: present });
}

function present(row: Awaited<ReturnType<typeof listAuditRows>>[number]): AuditEvent {
  return {
    id: toId("event", row.id),
    occurred_at: row.occurred_at.toISOString(),
    recorded_at: row.recorded_at.toISOString(),
    organization_id: row.organization_id === null ? null : toId("organization", row.organization_id),
    action: row.action,
    outcome: row.outcome,
    actor: row.actor,
    targets: row.targets,
    context: openValues("context", row.context, row.personal),
    details: openValues("details", row.details, row.personal),
    writer: { id: row.writer_id, sequence: row.writer_seq.toString() },
  };
}

function openValues(part: string, stored: Record<string, unknown>, personal: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(stored).map(([name, value]) => [name, personal[`${part}.${name}`] ?? value]));
}

/** `undefined`: the caller reads everything. */
function tenantOf(caller: Caller): string | undefined {
  if (caller.kind !== "key" || caller.keyKind === "svc") return undefined;
  const uuid = uuidOf("organization", caller.organizationId);
  assert(uuid, "a key has an organization");
  return uuid;
}

function organizationUuid(id: string): string {
  const uuid = uuidOf("organization", id);
  if (uuid !== undefined) return uuid;
  const detail = "is not an organization id";
  throw new Problem("invalid_request", `organization_id ${detail}`, { errors: [{ pointer: "?organization_id", detail }] });
}
