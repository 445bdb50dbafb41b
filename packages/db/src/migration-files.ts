import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface MigrationFile {
  /** `20261123T0910_create_accounts.sql`: names sort by time. */
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file's bytes, hex. */
  readonly checksum: string;
}

/** The migrations of this checkout. */
export const migrationsDirectory: string = fileURLToPath(new URL("../../../migrations/", import.meta.url));

const namePattern = /^\d{8}T\d{4}_[a-z0-9]+(?:_[a-z0-9]+)*\.sql$/;

/** Names of the migrations in a folder, oldest first. @throws Error naming an .sql file that is not named as one. */
export async function migrationNames(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).toSorted();
  const misnamed = names.find((name) => !namePattern.test(name));
  if (misnamed !== undefined) throw new Error(`${join(directory, misnamed)} is not named YYYYMMDDTHHMM_name.sql`);
  if (names.length === 0) throw new Error(`${directory} holds no migration`);
  return names;
}

export async function readMigrations(directory: string): Promise<MigrationFile[]> {
  const names = await migrationNames(directory);
  return await Promise.all(
    names.map(async (name) => {
      const bytes = await readFile(join(directory, name));
      return {
        name,
        sql: bytes.toString("utf8"),
        checksum: createHash("sha256").update(bytes).digest("hex"),
      };
    }),
  );
}
