export { type Connection, connectionFrom, databaseFields, databaseRules } from "./connection.ts";
export { type CursorPosition, decodeCursor, encodeCursor } from "./cursor.ts";
export { isUnavailable, isUniqueViolation } from "./errors.ts";
export { inTransaction } from "./in-transaction.ts";
export { migrationsDirectory } from "./migration-files.ts";
export { type Database, type DatabaseOptions, openDatabase } from "./open-database.ts";
export type { Db, Tables } from "./tables.ts";
export {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "./embedded/start-embedded-postgres.ts";
