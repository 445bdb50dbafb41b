import { migrationNames, migrationsDirectory } from "./migration-files.ts";
import type { Db } from "./tables.ts";

const undefinedTable = "42P01";

/**
 * The migrations in `directory` that the database has not had. A database ahead of this code is fine: migrations expand
 * before they contract, so the code of one release runs on the schema of the next.
 */
export async function pendingMigrations(db: Db, directory: string = migrationsDirectory): Promise<string[]> {
  const names = await migrationNames(directory);
  const applied = await appliedNames(db);
  return names.filter((name) => !applied.has(name));
}

async function appliedNames(db: Db): Promise<Set<string>> {
  try {
    const rows = await db.selectFrom("schema_migrations").select("name").execute();
    return new Set(rows.map((row) => row.name));
  } catch (error) {
    if ((error as { code?: unknown }).code === undefinedTable) return new Set();
    throw error;
  }
}
