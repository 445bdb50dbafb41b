/** The folder in which one installation lives: made, and held by one process at a time. */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { StartFault } from "@nexus/http";
import { claimDirectory, DirectoryInUse } from "@nexus/processes";

export interface DataDirectory {
  path: string;
  release(): Promise<void>;
}

/** @throws StartFault when a living process holds it; what a killed one left behind is taken over */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  const directory = resolve(path);
  // Others may pass through: as root, PostgreSQL runs as another user. What is secret lies in a folder of its own.
  await mkdir(directory, { recursive: true, mode: 0o711 });
  try {
    return { path: directory, release: await claimDirectory(directory) };
  } catch (error) {
    throw asStartFault(error);
  }
}

/** A folder in use, be it the whole or the database's within it, is an ordinary reason not to start. */
export function asStartFault(error: unknown): unknown {
  if (!(error instanceof DirectoryInUse)) return error;
  return new StartFault(`${error.message} with NEXUS_DATA_DIR`, { cause: error });
}
