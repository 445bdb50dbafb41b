import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { readFile, stat, truncate } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import type { Connection } from "../connection.ts";
import { isUnavailable } from "../errors.ts";
import { clientOptions } from "../open-database.ts";
import { identityOf, programEnvironment } from "./create-cluster.ts";
import { executable } from "./find-binaries.ts";
import type { UnixUser } from "./run-as.ts";

export interface PostmasterOptions {
  binDirectory: string;
  cluster: string;
  /** Where PostgreSQL writes its log, mode 0600. */
  logFile: string;
  runAs: UnixUser | undefined;
  /** Settings on top of the defaults, such as `fsync`. */
  settings: Readonly<Record<string, string>>;
  /** To see that it answers: the `postgres` database. */
  connection: Connection;
}

export interface Postmaster {
  readonly child: ChildProcess;
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
}

const longestLogBytes = 10 * 1024 * 1024;

/** Starts PostgreSQL and waits until it answers, for as long as the process lives: crash recovery takes what it takes. */
export async function startPostmaster(options: PostmasterOptions): Promise<Postmaster> {
  const size = await stat(options.logFile).then(
    (s) => s.size,
    () => 0,
  );
  if (size > longestLogBytes) await truncate(options.logFile);
  const logFrom = size > longestLogBytes ? 0 : size;
  // In a folder of somebody else's a link could stand there, and root would write to where it points.
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  const log = openSync(options.logFile, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  const child = spawn(join(options.binDirectory, executable("postgres")), postgresArguments(options), {
    ...identityOf(options.runAs),
    cwd: options.cluster,
    env: programEnvironment(),
    // A process group of its own: Ctrl-C reaches Node alone, which stops PostgreSQL when its clients are done.
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let endedWith: string | undefined;
  const ended = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      endedWith = signal ?? `exit ${code ?? "?"}`;
      resolve();
    });
    child.once("error", (error) => {
      endedWith = error.message;
      resolve();
    });
  });
  // Whoever else holds the port may accept and never answer; the end of our own process is answer enough.
  const ready = (): Promise<boolean> => Promise.race([answers(options.connection), ended.then(() => false)]);
  for (let waitMs = 5; !(await ready()); waitMs = Math.min(waitMs * 2, 40)) {
    if (endedWith !== undefined) {
      const said = (await readFile(options.logFile)).subarray(logFrom).toString().trim();
      throw new Error(`PostgreSQL did not start (${endedWith}): ${said.slice(-2000)}`);
    }
    await delay(waitMs);
  }
  return { child, ended };
}

function postgresArguments(options: PostmasterOptions): string[] {
  const settings = {
    unix_socket_directories: "",
    max_connections: "200",
    // One machine's worth of small rows: compiling a query costs more than it saves.
    jit: "off",
    log_timezone: "UTC",
    ...options.settings,
  };
  const args = ["-D", options.cluster, "-h", "127.0.0.1", "-p", String(options.connection.port)];
  for (const [name, value] of Object.entries(settings)) args.push("-c", `${name}=${value}`);
  return args;
}

async function answers(connection: Connection): Promise<boolean> {
  const client = new Client({ ...clientOptions(connection, "nexus-embedded"), connectionTimeoutMillis: 5000 });
  client.on("error", () => {});
  try {
    await client.connect();
    return true;
  } catch (error) {
    if (isUnavailable(error)) return false;
    throw new Error(`PostgreSQL at port ${connection.port} refuses its owner: ${(error as Error).message}`, { cause: error });
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * Lets the clients finish for `drainMs`, then disconnects them, then ends it without a checkpoint: each step only when
 * the one before did not do. No committed row is lost in any of them.
 */
export async function stopPostmaster(postmaster: Postmaster, drainMs: number): Promise<void> {
  for (const [signal, waitMs] of [
    ["SIGTERM", drainMs],
    ["SIGINT", 20_000],
    ["SIGQUIT", 10_000],
    ["SIGKILL", 5000],
  ] as const) {
    postmaster.child.kill(signal);
    const timer = new AbortController();
    const waited = delay(waitMs, false, { signal: timer.signal }).catch(() => false);
    const ended = await Promise.race([postmaster.ended.then(() => true), waited]);
    timer.abort();
    if (ended) return;
  }
}

/** A free TCP port on loopback. It may be taken again by the time it is used: try anew then. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no TCP port was given");
  return address.port;
}
