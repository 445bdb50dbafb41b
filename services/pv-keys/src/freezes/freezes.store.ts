/** Every statement of the freezes feature. */
import { noteChanges } from "@nexus/change-feed";
import { assert } from "@nexus/core";
import type { CursorPosition, Db, Tables } from "@nexus/db";
import { type Insertable, type Selectable, sql } from "kysely";

export type FreezeRow = Selectable<Tables["freezes"]>;
export type NewFreeze = Omit<Insertable<Tables["freezes"]>, "rev" | "thawed_at" | "thawed_by">;

/** False when the same is frozen already. Of two at once the second waits until the first is committed. */
export async function insertFreeze(db: Db, freeze: NewFreeze): Promise<boolean> {
  const made = await db
    .insertInto("freezes")
    .values({ ...freeze, rev: 0n })
    .onConflict((conflict) =>
      conflict.columns(["target_kind", "target", "organization_id", "authority"]).where("thawed_at", "is", null).doNothing(),
    )
    .returning("id")
    .executeTakeFirst();
  return made !== undefined;
}

export async function findOpenFreeze(
  db: Db,
  aim: Pick<FreezeRow, "authority" | "target_kind" | "target" | "organization_id">,
): Promise<FreezeRow | undefined> {
  return await db
    .selectFrom("freezes")
    .selectAll()
    .where("target_kind", "=", aim.target_kind)
    .where("target", "=", aim.target)
    .where("authority", "=", aim.authority)
    .where("organization_id", "is not distinct from", aim.organization_id)
    .where("thawed_at", "is", null)
    .executeTakeFirst();
}

/** Locks the freeze until the transaction ends. @param tenant only what holds within this organization; `undefined`: any */
export async function lockFreeze(db: Db, freeze: { id: string; tenant: string | undefined }): Promise<FreezeRow | undefined> {
  let query = db.selectFrom("freezes").selectAll().where("id", "=", freeze.id).forUpdate();
  if (freeze.tenant !== undefined) query = query.where("organization_id", "=", freeze.tenant);
  return await query.executeTakeFirst();
}

export async function markThawed(db: Db, id: string, by: { userId: string; at: Date }): Promise<void> {
  await db.updateTable("freezes").set({ thawed_at: by.at, thawed_by: by.userId }).where("id", "=", id).execute();
}

/** Takes the next revision of the change feed. Last in its transaction: other writers queue behind it. */
export async function recordFreeze(db: Db, id: string): Promise<FreezeRow> {
  const row = await db
    .updateTable("freezes")
    .set({ rev: sql<bigint>`record_change('freeze', id, organization_id)` })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  assert(row, "the freeze is there");
  noteChanges(db, [{ rev: Number(row.rev), kind: "freeze", subjectId: row.id, organizationId: row.organization_id }]);
  return row;
}

export interface FreezeFilter {
  /** Only what holds within this organization; `undefined`: every freeze there is. */
  tenant: string | undefined;
  /** Those that were thawed as well. */
  all: boolean;
  after: CursorPosition | undefined;
  limit: number;
}

/** Newest first. */
export async function listFreezes(db: Db, filter: FreezeFilter): Promise<FreezeRow[]> {
  let query = db.selectFrom("freezes").selectAll();
  if (filter.tenant !== undefined) query = query.where("organization_id", "=", filter.tenant);
  if (!filter.all) query = query.where("thawed_at", "is", null);
  if (filter.after) {
    const { createdAt, id } = filter.after;
    query = query.where((eb) => eb(eb.refTuple("created_at", "id"), "<", eb.tuple(createdAt, id)));
  }
  return await query.orderBy("created_at", "desc").orderBy("id", "desc").limit(filter.limit).execute();
}

/** uuid of the organization whose key it is. */
export async function findKeyOrganization(db: Db, keyId: string): Promise<string | undefined> {
  const row = await db.selectFrom("api_keys").select("organization_id").where("id", "=", keyId).executeTakeFirst();
  return row?.organization_id;
}
