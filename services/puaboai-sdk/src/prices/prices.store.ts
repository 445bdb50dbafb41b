import type { Db, Tables } from "@nexus/db";
import { type Selectable, sql } from "kysely";

export type StoredPrice = Selectable<Tables["model_prices"]>;

/** Every price that may hold now or later: of a model the latest whose moment has come, and those after it. */
export async function findStandingPrices(db: Db, now: Date): Promise<StoredPrice[]> {
  return await db
    .selectFrom("model_prices as p")
    .selectAll()
    .where("withdrawn_at", "is", null)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom("model_prices as later")
            .select("later.id")
            .whereRef("later.model", "=", "p.model")
            .where("later.withdrawn_at", "is", null)
            .where("later.effective_from", "<=", now)
            .where(sql<boolean>`(later.effective_from, later.created_at, later.id) > (p.effective_from, p.created_at, p.id)`),
        ),
      ),
    )
    .orderBy("effective_from")
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

/** Newest first, from a position on. */
export async function listPrices(
  db: Db,
  model: string | undefined,
  page: { limit: number; after: { createdAt: Date; id: string } | undefined },
): Promise<StoredPrice[]> {
  let query = db.selectFrom("model_prices").selectAll().orderBy("created_at", "desc").orderBy("id", "desc").limit(page.limit);
  if (model !== undefined) query = query.where("model", "=", model);
  const { after } = page;
  if (after) query = query.where(sql<boolean>`(created_at, id) < (${after.createdAt}, ${after.id}::uuid)`);
  return await query.execute();
}

interface NewPrice {
  id: string;
  model: string;
  from: Date;
  price: unknown;
  note: string | undefined;
  createdBy: string;
}

export async function insertPrice(db: Db, { id, model, from, price, note, createdBy }: NewPrice): Promise<StoredPrice> {
  return await db
    .insertInto("model_prices")
    .values({ id, model, effective_from: from, price: JSON.stringify(price), note: note ?? null, created_by: createdBy })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function lockPrice(db: Db, id: string): Promise<StoredPrice | undefined> {
  return await db.selectFrom("model_prices").selectAll().where("id", "=", id).forUpdate().executeTakeFirst();
}

export async function withdrawPrice(db: Db, id: string, at: Date): Promise<StoredPrice> {
  return await db
    .updateTable("model_prices")
    .set({ withdrawn_at: at })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
}
