import type { Db } from "./tables.ts";

/**
 * Runs `work` in one transaction: all of it or nothing. Joins the transaction when `db` already is one, so that use cases
 * can be put together; the outermost commits.
 */
export async function inTransaction<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  if (db.isTransaction) return await work(db);
  return await db.transaction().execute(work);
}
