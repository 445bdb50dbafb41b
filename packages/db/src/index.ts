export { type Connection, connectionFrom, databaseFields, databaseRules } from "./connection.ts";
export { type CursorPosition, decodeCursor, encodeCursor, pageOf } from "./cursor.ts";
export { isForeignKeyViolation, isUnavailable, isUniqueViolation } from "./errors.ts";
export { inTransaction } from "./in-transaction.ts";
export { type Once, type RepeatableRequest, withIdempotency } from "./with-idempotency.ts";
export { migrationsDirectory } from "./migration-files.ts";
export { type Database, type DatabaseOptions, openDatabase } from "./open-database.ts";
export type { Views } from "./key-tables.ts";
export type { Db, Tables } from "./tables.ts";
export {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "./embedded/start-embedded-postgres.ts";
export { ensureRoles, type ServiceRole, serviceRoles } from "./ensure-roles.ts";
export {
  migrate,
  type MigrateOptions,
  type MigrationResult,
  type MigrationStatus,
  migrationStatus,
  type MigrationStep,
} from "./migrate.ts";
export { MigrationError } from "./migration-error.ts";
export { executeStatements } from "./with-client.ts";
export { findFreePort } from "./embedded/postmaster.ts";
