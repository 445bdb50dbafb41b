import type { CursorPosition, Db } from "@nexus/db";
import { sql } from "kysely";

export interface AuditFilter {
  action?: string | undefined;
  organizationId?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
  before?: CursorPosition | undefined;
  limit: number;
}

/** A page of the log, newest first, each with the personal values that have not been erased. */
export async function listAuditRows(db: Db, filter: AuditFilter) {
  const { action, organizationId, from, to, before } = filter;
  return await db
    .selectFrom("audit_log as l")
    .select(["l.id", "l.recorded_at", "l.occurred_at", "l.organization_id", "l.action", "l.outcome", "l.actor", "l.targets"])
    .select(["l.context", "l.details", "l.writer_id", "l.writer_seq"])
    .select(
      sql<
        Record<string, string>
      >`COALESCE((SELECT jsonb_object_agg(p.field, p.value) FROM audit_personal p WHERE p.entry_id = l.id), '{}')`.as("personal"),
    )
    .$if(action !== undefined, (query) => query.where("l.action", "=", action ?? ""))
    .$if(organizationId !== undefined, (query) => query.where("l.organization_id", "=", organizationId ?? ""))
    .$if(from !== undefined, (query) => query.where("l.recorded_at", ">=", from ?? new Date(0)))
    .$if(to !== undefined, (query) => query.where("l.recorded_at", "<", to ?? new Date(0)))
    .$if(before !== undefined, (query) =>
      query.where(sql<boolean>`(l.recorded_at, l.id) < (${before?.createdAt}, ${before?.id}::uuid)`),
    )
    .orderBy("l.recorded_at", "desc")
    .orderBy("l.id", "desc")
    .limit(filter.limit)
    .execute();
}
