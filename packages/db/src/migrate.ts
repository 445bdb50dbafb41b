/** The migration runner: plain SQL, forward only, each file in one transaction, one runner at a time. */
import type { Client } from "pg";
import type { Connection } from "./connection.ts";
import { MigrationError, migrationFailure } from "./migration-error.ts";
import { type MigrationFile, migrationsDirectory, readMigrations } from "./migration-files.ts";
import { acquireMigrationLock } from "./migration-lock.ts";
import { findTransactionControl } from "./transaction-control.ts";
import { withClient } from "./with-client.ts";

export type MigrationStep =
  | { kind: "waiting"; for: string }
  | { kind: "applying"; name: string }
  | { kind: "applied"; name: string; durationMs: number }
  | { kind: "partitions"; made: number };

export interface MigrateOptions {
  directory?: string;
  /** Says what would be done and does nothing. */
  dryRun?: boolean;
  /** How long to wait for another runner; 60,000 ms unless told. */
  lockWaitMs?: number;
  /** How long one statement waits for a table that is in use; 10,000 ms unless told. */
  lockTimeoutMs?: number;
  onStep?: (step: MigrationStep) => void;
}

export interface MigrationResult {
  /** Applied now; with `dryRun`, what would be. */
  applied: string[];
  /** Applied by earlier runs. */
  earlier: string[];
}

export interface MigrationStatus {
  applied: { name: string; appliedAt: Date }[];
  pending: string[];
  /** One sentence for each way in which the files and the database disagree. */
  drift: string[];
}

interface Applied {
  name: string;
  checksum: string;
  applied_at: Date;
}

/**
 * Brings the schema up to date. Waits while another runner is at it; what that one applied counts as applied.
 * @param owner the schema's owner; the roles must exist (`ensureRoles`)
 * @throws MigrationError when files and database disagree, or naming the file and the place in it that failed
 */
export async function migrate(owner: Connection, options: MigrateOptions = {}): Promise<MigrationResult> {
  const files = await readMigrations(options.directory ?? migrationsDirectory);
  return await withOwner(owner, async (client) => {
    if (!options.dryRun) {
      await acquireMigrationLock(client, options.lockWaitMs ?? 60_000, (holder) =>
        options.onStep?.({ kind: "waiting", for: holder }),
      );
      await ensureHistory(client);
    }
    const applied = await readHistory(client);
    const { pending, drift } = compare(files, applied);
    if (drift.length > 0) throw new MigrationError(drift.join("\n"));
    if (!options.dryRun) {
      await client.query(`SET lock_timeout = ${options.lockTimeoutMs ?? 10_000}`);
      for (const file of pending) await apply(client, file, options.onStep);
      await ensurePartitions(client, options.onStep);
    }
    return { applied: pending.map((file) => file.name), earlier: applied.map((row) => row.name) };
  });
}

/** What has been applied, what has not, and where files and database disagree. Changes nothing. */
export async function migrationStatus(owner: Connection, directory: string = migrationsDirectory): Promise<MigrationStatus> {
  const files = await readMigrations(directory);
  const applied = await withOwner(owner, readHistory);
  const { pending, drift } = compare(files, applied);
  return {
    applied: applied.map((row) => ({ name: row.name, appliedAt: row.applied_at })),
    pending: pending.map((file) => file.name),
    drift,
  };
}

async function withOwner<T>(owner: Connection, work: (client: Client) => Promise<T>): Promise<T> {
  return await withClient(owner, "nexus-migrate", async (client) => {
    await client.query("SET search_path = public");
    // Else a long statement of a killed runner would go on, and hold the lock, until it had something to send.
    // Servers on systems that cannot watch a socket refuse it.
    await client.query("SET client_connection_check_interval = '500ms'").catch(() => {});
    return await work(client);
  });
}

async function ensureHistory(client: Client): Promise<void> {
  await client.query(`CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz(3) NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL
  )`);
  await client.query("GRANT SELECT ON schema_migrations TO nexus_api, nexus_ai, nexus_keys");
}

async function readHistory(client: Client): Promise<Applied[]> {
  const there = await client.query<{ there: boolean }>("SELECT to_regclass('public.schema_migrations') IS NOT NULL AS there");
  if (!there.rows[0]?.there) return [];
  return (await client.query<Applied>("SELECT name, checksum, applied_at FROM schema_migrations ORDER BY name")).rows;
}

function compare(files: MigrationFile[], applied: Applied[]): { pending: MigrationFile[]; drift: string[] } {
  const drift: string[] = [];
  const byName = new Map(files.map((file) => [file.name, file]));
  for (const row of applied) {
    const file = byName.get(row.name);
    if (!file)
      drift.push(`${row.name} was applied to this database but its file is missing: a newer release was here, or it was deleted`);
    else if (file.checksum !== row.checksum)
      drift.push(`${row.name} was changed after it was applied: put it back and write a new migration`);
  }
  const known = new Set(applied.map((row) => row.name));
  const last = applied.at(-1)?.name ?? "";
  const pending = files.filter((file) => !known.has(file.name));
  for (const { name } of pending) {
    if (name < last) drift.push(`${name} is new but older than ${last}, which was applied already: give it a later name`);
  }
  return { pending, drift };
}

async function apply(client: Client, file: MigrationFile, onStep: MigrateOptions["onStep"]): Promise<void> {
  onStep?.({ kind: "applying", name: file.name });
  const control = findTransactionControl(file.sql);
  if (control !== undefined) {
    throw new MigrationError(`${file.name}: ${control} is refused, as each migration is one transaction`);
  }
  const started = performance.now();
  await client.query("BEGIN");
  try {
    await client.query(file.sql);
    const durationMs = Math.round(performance.now() - started);
    await client.query("INSERT INTO schema_migrations (name, checksum, duration_ms) VALUES ($1, $2, $3)", [
      file.name,
      file.checksum,
      durationMs,
    ]);
    await client.query("COMMIT");
    onStep?.({ kind: "applied", name: file.name, durationMs });
  } catch (error) {
    // A lost connection has rolled back by itself, and its error is the one to tell.
    await client.query("ROLLBACK").catch(() => {});
    throw migrationFailure(file, error);
  }
}

/** Partitions are made ahead of time at every deploy, not only by the migration that asked for them. */
async function ensurePartitions(client: Client, onStep: MigrateOptions["onStep"]): Promise<void> {
  const there = await client.query<{ there: boolean }>(
    "SELECT to_regprocedure('public.ensure_month_partitions(integer)') IS NOT NULL AS there",
  );
  if (!there.rows[0]?.there) return;
  const made = await client.query<{ made: number }>("SELECT ensure_month_partitions() AS made");
  onStep?.({ kind: "partitions", made: made.rows[0]?.made ?? 0 });
}
