import type { Db } from "@nexus/db";
import { sql } from "kysely";
import type { AuditBody } from "./audit-entry.ts";

export interface PersonalValue {
  /** The path in the entry where the commitment stands: `context.ip`, `details.email`. */
  field: string;
  salt: Buffer;
  value: string;
}

interface StoredEntry {
  body: AuditBody;
  canonical: Buffer;
  mac: Buffer;
  personal: readonly PersonalValue[];
}

/**
 * One statement for the three tables, without RETURNING: roles that may only INSERT use it too.
 * `recorded_at` is PostgreSQL's time, to the millisecond that a cursor holds: a writer with a wrong clock still meets a partition.
 */
export async function insertEntry(tx: Db, entry: StoredEntry): Promise<void> {
  const { body, personal } = entry;
  await sql`
    WITH entry AS (
      INSERT INTO audit_log (id, recorded_at, occurred_at, organization_id, action, outcome, actor, targets, context, details,
        schema_version, writer_id, writer_seq, canonical, mac)
      VALUES (${body.id}, date_trunc('milliseconds', now()), ${body.occurred_at}, ${body.organization_id}, ${body.action}, ${body.outcome},
        ${JSON.stringify(body.actor)}, ${JSON.stringify(body.targets)}, ${JSON.stringify(body.context)}, ${JSON.stringify(body.details)},
        ${body.schema_version}, ${body.writer_id}, ${body.writer_seq}, ${entry.canonical}, ${entry.mac})
    ), inbox AS (
      INSERT INTO audit_inbox (entry_id, recorded_at) VALUES (${body.id}, date_trunc('milliseconds', now()))
    )
    INSERT INTO audit_personal (entry_id, field, salt, value)
    SELECT ${body.id}::uuid, field, salt, value
    FROM unnest(${personal.map((p) => p.field)}::text[], ${personal.map((p) => p.salt)}::bytea[], ${personal.map((p) => p.value)}::text[])
      AS given (field, salt, value)`.execute(tx);
}
