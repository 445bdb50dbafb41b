import { setTimeout as delay } from "node:timers/promises";
import { Kysely, PostgresDialect } from "kysely";
import { type ClientConfig, Pool, types } from "pg";
import type { Connection } from "./connection.ts";
import { guardedPool } from "./guarded-pool.ts";
import type { Views } from "./key-tables.ts";
import { pendingMigrations } from "./pending-migrations.ts";
import type { Db, Tables } from "./tables.ts";

export interface Database {
  readonly db: Db;
  /** One round trip on a pooled connection. Rejects when it fails or `signal` fires; a hung connection is closed. */
  ping(signal?: AbortSignal): Promise<void>;
  /** Names of the migrations that this code knows and the database has not had; empty when it is ready to serve. */
  pendingMigrations(): Promise<string[]>;
  /** Waits for the queries under way, up to `closeTimeoutMs`, then closes every connection. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** Shown in `pg_stat_activity`. */
  applicationName: string;
  /** Most connections; 10 unless told. */
  poolSize?: number;
  /** One statement may take this long; 5,000 ms unless told, 0 for no limit. The client gives up one second later. */
  statementTimeoutMs?: number;
  /** How long to wait for a connection, a free one of the pool or a new one; 2,000 ms unless told. */
  connectTimeoutMs?: number;
  /** How long `close` waits for what is under way; 10,000 ms unless told. */
  closeTimeoutMs?: number;
  /** Hears of idle connections that broke; the pool replaces them. */
  onError?: (error: Error) => void;
}

const int8 = 20;

/** Opens a pool. Nothing is connected yet: a database that is away shows at the first query, as `isUnavailable`. */
export function openDatabase(connection: Connection, options: DatabaseOptions): Database {
  const pool = new Pool({
    ...clientOptions(connection, options.applicationName),
    ...deadlines(options.statementTimeoutMs ?? 5000),
    max: options.poolSize ?? 10,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 2000,
    idleTimeoutMillis: 60_000,
  });
  // Without a listener an idle connection's end (a restart of PostgreSQL) would end the process.
  pool.on("error", (error) => options.onError?.(error));
  // The same for one in use: its query is refused as well, which is where the loss is dealt with.
  pool.on("connect", (client) => client.on("error", () => {}));
  const db = new Kysely<Tables & Views>({ dialect: new PostgresDialect({ pool: guardedPool(pool) }) });
  let closing: Promise<void> | undefined;
  return {
    db,
    ping: (signal) => ping(pool, signal),
    pendingMigrations: () => pendingMigrations(db),
    close: () => (closing ??= closeWithin(pool, options.closeTimeoutMs ?? 10_000)),
  };
}

/** Settings of one pg client; shared with the tools that need a connection outside a pool. */
export function clientOptions(connection: Connection, applicationName: string): ClientConfig {
  return {
    host: connection.host,
    port: connection.port,
    database: connection.database,
    user: connection.user,
    password: connection.password,
    // Said outright: left out, pg would look at PGSSLMODE.
    ssl: connection.ssl ?? false,
    application_name: applicationName,
    keepAlive: true,
    types: { getTypeParser },
  };
}

/** int8 as bigint: money and counters pass 2^53. Set here and not in pg's global table, which belongs to everybody. */
const getTypeParser = ((oid: number, format?: "text" | "binary") =>
  oid === int8 && format !== "binary" ? BigInt : types.getTypeParser(oid, format)) as typeof types.getTypeParser;

function deadlines(statementTimeoutMs: number): ClientConfig {
  if (statementTimeoutMs === 0) return {};
  return {
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs * 2,
    query_timeout: statementTimeoutMs + 1000,
  };
}

/** pg waits without end for connections in use; a transaction that hangs must not keep a stop from ending. */
async function closeWithin(pool: Pool, timeoutMs: number): Promise<void> {
  const timer = new AbortController();
  const timeout = delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => {});
  await Promise.race([pool.end(), timeout]);
  timer.abort();
}

async function ping(pool: Pool, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const client = await untilAborted(pool.connect(), signal, (late) => late.release());
  let healthy = false;
  try {
    await untilAborted(client.query("SELECT 1"), signal);
    healthy = true;
  } finally {
    // A connection that did not answer is closed: it may never answer again.
    client.release(!healthy);
  }
}

/** `work`, or a rejection as soon as `signal` fires; what arrives afterwards is handed to `discard`. */
async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  discard: (late: T) => void = () => {},
): Promise<T> {
  if (!signal) return await work;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => {
    aborted.reject(new Error("PostgreSQL did not answer in time", { cause: signal.reason }));
    work.then(discard, () => {});
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
