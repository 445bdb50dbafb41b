import type { Db, Tables } from "@nexus/db";
import { type Selectable, sql } from "kysely";
import type { Entry } from "./entry.ts";

/** The subject of the change that asks every process to read its file again. */
export const fileSubject = "00000000-0000-0000-0000-000000000000";

/** Whoever changes an entry holds it to the end of the transaction: each is checked against all the others. */
export async function lockEntries(tx: Db): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('nexus.gateway_entries'))`.execute(tx);
}

/** All of them, in the order in which they were made. */
export async function listEntries(db: Db): Promise<Entry[]> {
  const rows = await db.selectFrom("gateway_entries").selectAll().orderBy("created_at").orderBy("id").execute();
  return rows.map(entryOf);
}

/** Makes the entry, or replaces the one of that kind and name. */
export async function upsertEntry(
  tx: Db,
  { document, updatedBy, ...entry }: Pick<Entry, "id" | "kind" | "name" | "document" | "updatedBy">,
): Promise<Entry> {
  const change = { document: JSON.stringify(document), updated_by: updatedBy };
  const row = await tx
    .insertInto("gateway_entries")
    .values({ ...entry, ...change })
    .onConflict((conflict) =>
      conflict
        .columns(["kind", "name"])
        .doUpdateSet({ ...change, version: sql<number>`gateway_entries.version + 1`, updated_at: sql<Date>`now()` }),
    )
    .returningAll()
    .executeTakeFirstOrThrow();
  return entryOf(row);
}

export async function deleteEntry(tx: Db, id: string): Promise<void> {
  await tx.deleteFrom("gateway_entries").where("id", "=", id).execute();
}

function entryOf(row: Selectable<Tables["gateway_entries"]>): Entry {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    document: row.document,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    updatedBy: row.updated_by,
  };
}
