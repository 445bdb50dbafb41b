import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** Tells the verifiers of a change. Part of the caller's transaction. */
export async function recordChange(
  tx: Db,
  change: { kind: "key" | "session" | "user"; subjectId: string; organizationId: string | null },
): Promise<void> {
  await sql`SELECT record_change(${change.kind}, ${change.subjectId}::uuid, ${change.organizationId}::uuid)`.execute(tx);
}
