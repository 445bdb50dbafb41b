import { chmod, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ownUid } from "@nexus/processes";
import { canEnter, chooseRunAs, exists, type UnixUser } from "./run-as.ts";
import { sharedPlace } from "./shared-place.ts";

export interface DataPlace {
  /** Holds `cluster/`, `password` and `postgres.log`. */
  readonly directory: string;
  /** Absent: PostgreSQL runs as we do. */
  readonly runAs: UnixUser | undefined;
}

/**
 * Where the data lies and who PostgreSQL runs as. Mostly the folder asked for; where root's substitute cannot reach that,
 * a place keyed by its path. Never an empty database beside an existing one.
 * @param wanted absolute path
 */
export async function choosePlace(wanted: string, uid: number | undefined = ownUid): Promise<DataPlace> {
  const owner = await ownerOf(join(wanted, "cluster"));
  if (owner) return { directory: wanted, runAs: await existingOwner(wanted, owner, uid) };
  const runAs = await chooseRunAs(uid);
  const isNew = !(await exists(wanted));
  await mkdir(wanted, { recursive: true });
  if (!runAs) return { directory: wanted, runAs };
  // Said outright, as the umask may be 077; what must stay secret in it has its own mode.
  if (isNew) await chmod(wanted, 0o755);
  if (await canEnter(wanted, runAs)) return { directory: wanted, runAs };
  const directory = await sharedPlace(wanted, runAs);
  const moved = await ownerOf(join(directory, "cluster"));
  return { directory, runAs: moved ? await existingOwner(directory, moved, uid) : runAs };
}

async function ownerOf(cluster: string): Promise<UnixUser | undefined> {
  if (!(await exists(cluster))) return undefined;
  const { uid, gid } = await stat(cluster);
  return { name: `user ${uid}`, uid, gid };
}

/** An existing cluster keeps its owner: PostgreSQL runs as nobody else on it. */
async function existingOwner(directory: string, owner: UnixUser, uid: number | undefined): Promise<UnixUser | undefined> {
  if (uid === undefined || owner.uid === uid) return undefined;
  if (uid !== 0)
    throw new Error(`the data in ${directory} belongs to ${owner.name}; start as that user or as root, or name another folder`);
  if (!(await canEnter(join(directory, "cluster"), owner))) {
    throw new Error(
      `${owner.name}, who owns the data in ${directory}, can no longer reach it; let others enter the folders above (chmod a+x)`,
    );
  }
  return owner;
}
