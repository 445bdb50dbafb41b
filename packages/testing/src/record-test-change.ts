import type { Database, Tables } from "@nexus/db";
import { sql } from "kysely";

/** Puts a change into the feed, as the owner of the schema; its revision. */
export async function recordTestChange(owner: Database, kind: Tables["changes"]["kind"], subjectId: string): Promise<number> {
  const { rows } = await sql<{ rev: bigint }>`SELECT record_change(${kind}, ${subjectId}::uuid, NULL) AS rev`.execute(owner.db);
  return Number(rows[0]?.rev);
}
