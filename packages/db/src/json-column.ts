import type { ColumnType } from "kysely";

/**
 * A jsonb column: read as a value, written as JSON text (`JSON.stringify`). Text on purpose: pg would send a JavaScript
 * array as a PostgreSQL array, which is another thing.
 */
export type Json<T> = ColumnType<T, string, string>;
export type GeneratedJson<T> = ColumnType<T, string | undefined, string>;
