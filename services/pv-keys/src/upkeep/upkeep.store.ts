import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** Of every table that is kept by month: an insert into a month without a partition would fail. */
export async function ensureMonthPartitions(db: Db): Promise<void> {
  await sql`SELECT ensure_month_partitions()`.execute(db);
}

/** Months of the change feed that were dropped: those before the last one that no live verifier still needs. */
export async function dropOldChanges(db: Db): Promise<number> {
  const { rows } = await sql<{ dropped: number }>`SELECT drop_old_changes() AS dropped`.execute(db);
  return rows[0]?.dropped ?? 0;
}
