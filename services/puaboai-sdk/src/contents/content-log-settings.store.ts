import type { Db, Tables } from "@nexus/db";
import { type Selectable, sql } from "kysely";

export type StoredSettings = Selectable<Tables["content_log_settings"]>;

export interface ContentRule {
  organizationId: string;
  /** Longest text that is kept. */
  maxBytes: number;
}

/** Of the organizations whose contents are kept. */
export async function findRules(db: Db): Promise<ContentRule[]> {
  return await db
    .selectFrom("content_log_settings")
    .select(["organization_id as organizationId", "max_bytes as maxBytes"])
    .where("enabled", "=", true)
    .execute();
}

export async function findSettings(db: Db, organizationId: string): Promise<StoredSettings | undefined> {
  return await db.selectFrom("content_log_settings").selectAll().where("organization_id", "=", organizationId).executeTakeFirst();
}

export async function lockSettings(tx: Db, organizationId: string): Promise<StoredSettings | undefined> {
  return await tx
    .selectFrom("content_log_settings")
    .selectAll()
    .where("organization_id", "=", organizationId)
    .forUpdate()
    .executeTakeFirst();
}

type Terms = Pick<StoredSettings, "organization_id" | "enabled" | "retention_days" | "max_bytes" | "updated_by">;

/** @throws a foreign key violation for an organization that is not there */
export async function upsertSettings(tx: Db, { organization_id: organizationId, ...terms }: Terms): Promise<StoredSettings> {
  return await tx
    .insertInto("content_log_settings")
    .values({ organization_id: organizationId, ...terms })
    .onConflict((conflict) => conflict.column("organization_id").doUpdateSet({ ...terms, updated_at: sql<Date>`now()` }))
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** From now on nothing that was kept until now is there for readers. */
export async function markErased(tx: Db, organizationId: string): Promise<void> {
  await tx
    .updateTable("content_log_settings")
    .set({ erased_at: sql<Date>`clock_timestamp()` })
    .where("organization_id", "=", organizationId)
    .execute();
}
