import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isRunning, ownPid, startedAt } from "./processes.ts";

interface Claim {
  pid: number;
  started: string;
}

/** Another process that is alive holds the directory; the message names it. */
export class DirectoryInUse extends Error {
  override readonly name = "DirectoryInUse";
}

/**
 * Claims a data directory for this process, so that a second start never takes a running database for a left-over one and
 * stops it. A claim ends with its process, however that ended.
 * @returns the release
 * @throws DirectoryInUse naming the process that holds the directory
 */
export async function claimDirectory(directory: string): Promise<() => Promise<void>> {
  const path = join(directory, "owner.json");
  const mine: Claim = { pid: ownPid, started: await startedAt(ownPid) };
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await writeFile(path, JSON.stringify(mine), { flag: "wx", mode: 0o600 });
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readClaim(path);
    if (holder && (await isRunning(holder.pid)) && (await startedAt(holder.pid)) === holder.started) {
      throw new DirectoryInUse(
        `the data folder ${directory} is in use by process ${holder.pid}; stop that one first, or name another folder`,
      );
    }
    await rm(path, { force: true });
  }
  throw new DirectoryInUse(`the data folder ${directory} is being claimed by another process`);
}

async function readClaim(path: string): Promise<Claim | undefined> {
  try {
    const claim = JSON.parse(await readFile(path, "utf8")) as Partial<Claim>;
    return typeof claim.pid === "number" && typeof claim.started === "string" ? (claim as Claim) : undefined;
  } catch {
    // Killed while writing it: nobody's.
    return undefined;
  }
}
