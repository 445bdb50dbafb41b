import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ownPid } from "@nexus/processes";
import { executable } from "./find-binaries.ts";
import { exists, type UnixUser } from "./run-as.ts";

export interface ClusterOptions {
  /** Holds the programs. */
  binDirectory: string;
  major: number;
  /** The place of the data; the cluster is its `cluster` folder. */
  directory: string;
  runAs: UnixUser | undefined;
  user: string;
}

/**
 * Makes the cluster where there is none. Killed at any point it leaves nothing that a later start takes for a cluster:
 * initdb works under another name, renamed when done.
 * @returns its folder and the owner's password
 * @throws Error when an existing cluster is of another major version, or its password file is gone
 */
export async function createCluster(options: ClusterOptions): Promise<{ cluster: string; password: string; created: boolean }> {
  const cluster = join(options.directory, "cluster");
  const passwordFile = join(options.directory, "password");
  if (await exists(cluster)) {
    await refuseOtherMajor(cluster, options.major);
    return { cluster, password: await readPassword(passwordFile), created: false };
  }
  for (const name of await readdir(options.directory)) {
    if (name.startsWith("cluster.new-")) await rm(join(options.directory, name), { recursive: true, force: true });
  }
  const password = randomBytes(24).toString("base64url");
  await rm(passwordFile, { force: true });
  await writeFile(passwordFile, password, { mode: 0o600 });
  const unfinished = await workFolder(options, password);
  await initialize(options, unfinished);
  await rename(join(unfinished, "data"), cluster);
  await rm(unfinished, { recursive: true, force: true });
  return { cluster, password, created: true };
}

async function refuseOtherMajor(cluster: string, major: number): Promise<void> {
  const found = (await readFile(join(cluster, "PG_VERSION"), "utf8")).trim();
  if (found !== String(major)) {
    throw new Error(
      `the data in ${cluster} was written by PostgreSQL ${found} and this is ${major}; run a PostgreSQL ${found}, or name another folder`,
    );
  }
}

async function readPassword(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw new Error(
      `the password of the database cannot be read from ${path} (${(cause as NodeJS.ErrnoException).code ?? "?"})`,
      { cause },
    );
  }
}

/**
 * A folder that the run-as user alone can enter, with the password in it for as long as initdb runs. The file is written
 * while the folder is still ours: later, a link could stand in its place.
 */
async function workFolder(options: ClusterOptions, password: string): Promise<string> {
  const path = join(options.directory, `cluster.new-${ownPid}-${randomBytes(4).toString("hex")}`);
  await mkdir(path, { mode: 0o700 });
  await writeFile(join(path, "password"), password, { mode: 0o600 });
  if (options.runAs) {
    await chown(join(path, "password"), options.runAs.uid, options.runAs.gid);
    await chown(path, options.runAs.uid, options.runAs.gid);
  }
  return path;
}

async function initialize(options: ClusterOptions, unfinished: string): Promise<void> {
  const args = ["-D", join(unfinished, "data"), "-U", options.user, "--pwfile", join(unfinished, "password")];
  args.push("--locale=C", "-E", "UTF8", "-A", "scram-sha-256", "--no-instructions");
  const child = spawn(join(options.binDirectory, executable("initdb")), args, {
    ...identityOf(options.runAs),
    cwd: options.directory,
    env: programEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`initdb failed (${code ?? "killed"}): ${printed.trim().slice(-2000)}`);
}

export function identityOf(runAs: UnixUser | undefined): { uid?: number; gid?: number } {
  return runAs ? { uid: runAs.uid, gid: runAs.gid } : {};
}

/** Nothing of ours: a stray LANG that this machine does not have, or a PGPORT, must not reach PostgreSQL. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return { LC_ALL: "C", TZ: "UTC" };
}
