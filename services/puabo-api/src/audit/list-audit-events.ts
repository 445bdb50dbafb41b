import type { AuditEvent, AuditEventsQuery } from "@nexus/contracts/audit";
import { Problem, toId, uuidOf } from "@nexus/core";
import { type Db, decodeCursor, pageOf } from "@nexus/db";
import { listAuditRows } from "./audit-log.store.ts";

interface AuditPage {
  data: AuditEvent[];
  next_cursor: string | null;
  has_more: boolean;
}

/** A page of the audit log as an administrator reads it: where a commitment stands, its value, unless the person was erased. */
export async function listAuditEvents(needs: { db: Db; cursorSecret: Buffer }, query: AuditEventsQuery): Promise<AuditPage> {
  const limit = query.limit ?? 20;
  const rows = await listAuditRows(needs.db, {
    action: query.action,
    organizationId: query.organization_id === undefined ? undefined : organizationUuid(query.organization_id),
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

function organizationUuid(id: string): string {
  const uuid = uuidOf("organization", id);
  if (uuid !== undefined) return uuid;
  const detail = "is not an organization id";
  throw new Problem("invalid_request", `organization_id ${detail}`, { errors: [{ pointer: "?organization_id", detail }] });
}
