/** A real PostgreSQL of our own, for a machine that has none: started, watched and stopped by this process. */
import { resolve, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { claimDirectory } from "@nexus/processes";
import type { Connection } from "../connection.ts";
import { withClient } from "../with-client.ts";
import { choosePlace } from "./choose-place.ts";
import { createCluster } from "./create-cluster.ts";
import { findBinaries, majorOf, type PostgresBinaries } from "./find-binaries.ts";
import { findFreePort, type Postmaster, type PostmasterOptions, startPostmaster, stopPostmaster } from "./postmaster.ts";
import { prepareBinaries } from "./prepare-binaries.ts";
import { stopOrphan } from "./stop-orphan.ts";

export interface EmbeddedPostgresOptions {
  /** Kept over restarts. Root may end up elsewhere (see `EmbeddedPostgres.dataDirectory`). */
  dataDirectory: string;
  /** A free one unless told. */
  port?: number;
  /** Value of PATH, where a PostgreSQL of the machine's own is looked for. */
  path?: string;
  /** Instead of looking for them. */
  binaries?: PostgresBinaries;
  /** Settings of PostgreSQL on top of the defaults. */
  settings?: Readonly<Record<string, string>>;
  /** How long `stop` waits for clients to leave by themselves; 2,000 ms unless told. */
  drainMs?: number;
  /** Hears sentences worth showing to whoever started it. */
  log?: (sentence: string) => void;
}

export interface EmbeddedPostgres {
  /** The owner of the schema, superuser of this private cluster, on the platform's database. */
  readonly connection: Connection;
  readonly port: number;
  /** Where the data really lies. */
  readonly dataDirectory: string;
  /** Pid of the postmaster at the moment. */
  readonly pid: number;
  /** Drains, then stops PostgreSQL. */
  stop(): Promise<void>;
}

const owner = "nexus_user";
const database = "nexus_db";

/**
 * Starts the embedded PostgreSQL, making its cluster on the first start. Stops what a killed process left behind, and
 * starts PostgreSQL again should it end while we still need it.
 * @throws Error in one sentence: nothing to run, folder in use, data of another major version, port taken
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {});
  const wanted = resolve(options.dataDirectory);
  const binaries = options.binaries ?? (await findBinaries({ path: options.path ?? "" }));
  const place = await choosePlace(wanted);
  if (place.directory !== wanted)
    log(`database files are in ${place.directory}: PostgreSQL, which never runs as root, cannot reach ${wanted}`);
  const release = await claimDirectory(place.directory);
  try {
    const binDirectory = await prepareBinaries(binaries, place.runAs, place.directory);
    // Only now do they run: the libraries they need may have been without their links.
    const major = await majorOf(binDirectory);
    const { cluster, password } = await createCluster({ ...place, binDirectory, major, user: owner });
    const orphan = await stopOrphan(cluster);
    if (orphan !== undefined) log(`stopped the PostgreSQL that an earlier start left behind (process ${orphan})`);
    const running = await startOnPort(options, {
      binDirectory,
      cluster,
      logFile: join(place.directory, "postgres.log"),
      runAs: place.runAs,
      settings: options.settings ?? {},
      connection: { host: "127.0.0.1", port: 0, database: "postgres", user: owner, password },
    });
    await ensureDatabase(running.options.connection);
    return supervise(running, place.directory, { release, log, drainMs: options.drainMs ?? 2000 });
  } catch (error) {
    await release();
    throw error;
  }
}

interface Running {
  options: PostmasterOptions;
  postmaster: Postmaster;
}

async function startOnPort(wanted: { port?: number }, options: PostmasterOptions): Promise<Running> {
  for (let attempt = 1; ; attempt++) {
    const port = wanted.port ?? (await findFreePort());
    const onPort = { ...options, connection: { ...options.connection, port } };
    try {
      return { options: onPort, postmaster: await startPostmaster(onPort) };
    } catch (error) {
      // A port that was free a moment ago may be taken by now; one that was asked for is not ours to change.
      const isTaken = /could not (?:bind|create any TCP)/.test((error as Error).message);
      if (isTaken && wanted.port !== undefined) throw new Error(`port ${port} for PostgreSQL is taken`, { cause: error });
      if (!isTaken || attempt === 5) throw error;
    }
  }
}

async function ensureDatabase(connection: Connection): Promise<void> {
  await withClient(connection, "nexus-embedded", async (client) => {
    const found = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [database]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${database}`);
  });
}

interface Supervision {
  release(): Promise<void>;
  log(sentence: string): void;
  drainMs: number;
}

/** The services must survive PostgreSQL's death, and on one machine nobody but us would start it again. */
function supervise(running: Running, dataDirectory: string, tools: Supervision): EmbeddedPostgres {
  let postmaster = running.postmaster;
  let stopping: Promise<void> | undefined;
  const isStopping = (): boolean => stopping !== undefined;
  const watching = watch();

  async function watch(): Promise<void> {
    for (;;) {
      await postmaster.ended;
      if (isStopping()) return;
      tools.log("PostgreSQL ended unexpectedly; starting it again");
      // Its children may need a moment to notice; until then PostgreSQL refuses to start on the same folder.
      for (let waitMs = 100; !isStopping(); waitMs = Math.min(waitMs * 2, 5000)) {
        try {
          postmaster = await startPostmaster(running.options);
          break;
        } catch (error) {
          tools.log((error as Error).message);
          await delay(waitMs);
        }
      }
    }
  }

  async function stop(): Promise<void> {
    await stopPostmaster(postmaster, tools.drainMs);
    // The watcher may have been starting another one just then.
    await watching;
    await stopPostmaster(postmaster, tools.drainMs);
    await tools.release();
  }

  const { connection } = running.options;
  return {
    connection: { ...connection, database },
    port: connection.port,
    dataDirectory,
    get pid() {
      return postmaster.child.pid ?? 0;
    },
    stop: () => (stopping ??= stop()),
  };
}
