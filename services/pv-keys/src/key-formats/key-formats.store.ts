/** Every statement about the shapes of foreign keys. */
import { noteChanges } from "@nexus/change-feed";
import type { Db, Tables } from "@nexus/db";
import { type Selectable, sql } from "kysely";

export type KeyFormatRow = Selectable<Tables["key_formats"]>;

/** By name. */
export async function listFormats(db: Db): Promise<KeyFormatRow[]> {
  return await db.selectFrom("key_formats").selectAll().orderBy("name").execute();
}

/** Formats are made and removed one at a time, so that their number can be bounded. */
export async function lockFormats(tx: Db): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('nexus.key_formats'))`.execute(tx);
}

export async function insertFormat(db: Db, format: KeyFormatRow): Promise<void> {
  await db.insertInto("key_formats").values(format).execute();
}

/** The row that is gone; `undefined` when there was none. @throws a foreign key violation while a key was imported with it */
export async function deleteFormat(db: Db, name: string): Promise<KeyFormatRow | undefined> {
  return await db.deleteFrom("key_formats").where("name", "=", name).returningAll().executeTakeFirst();
}

/** A change of the formats in the feed; they have names, not ids, so the subject is nobody's. */
export async function recordFormatChange(db: Db, changeId: string): Promise<void> {
  const { rows } = await sql<{ rev: bigint }>`SELECT record_change('key_format', ${changeId}::uuid, NULL) AS rev`.execute(db);
  noteChanges(
    db,
    rows.map(({ rev }) => ({ rev: Number(rev), kind: "key_format", subjectId: changeId, organizationId: null })),
  );
}
