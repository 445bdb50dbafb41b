import type { Database } from "@nexus/db";
import { sql } from "kysely";

/** Dates changes as if they had been made in January 2020, in a month of their own; all up to `to`, or those from `from` on. */
export async function ageChanges(owner: Database, { from = 0, to }: { from?: number; to: number }): Promise<void> {
  await sql`CREATE TABLE IF NOT EXISTS changes_202001 PARTITION OF changes
    FOR VALUES FROM ('2020-01-01T00:00:00Z') TO ('2020-02-01T00:00:00Z')`.execute(owner.db);
  await sql`UPDATE changes SET recorded_at = '2020-01-15T00:00:00Z' WHERE rev BETWEEN ${from} AND ${to}`.execute(owner.db);
}
