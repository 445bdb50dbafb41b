/** PostgreSQL refuses to run as root, so root lends it another user; that user must then be able to reach its files. */
import type { Stats } from "node:fs";
import { lstat, readFile, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";

export interface UnixUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * The user to drop to, or `undefined` to stay who we are (not root, or no Unix).
 * @throws Error when root finds no user to drop to
 */
export async function chooseRunAs(uid: number | undefined): Promise<UnixUser | undefined> {
  if (uid !== 0) return undefined;
  const users = parsePasswd(await readFile("/etc/passwd", "utf8").catch(() => ""));
  const found = users.get("postgres") ?? users.get("nobody");
  if (!found || found.uid === 0) {
    throw new Error(
      "PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`; start as an ordinary user",
    );
  }
  return found;
}

function parsePasswd(text: string): Map<string, UnixUser> {
  const users = new Map<string, UnixUser>();
  for (const line of text.split("\n")) {
    const [name, , uid, gid] = line.split(":");
    if (name !== undefined && uid !== undefined && gid !== undefined) {
      users.set(name, { name, uid: Number(uid), gid: Number(gid) });
    }
  }
  return users;
}

/**
 * True when `user` can enter `path` (or, while it does not exist, the nearest folder above it) and every folder above.
 * Looks at mode bits alone; access lists can only make this too careful or be told by PostgreSQL itself.
 */
export async function canEnter(path: string, user: UnixUser): Promise<boolean> {
  let directory = await realpath(await nearestExisting(path));
  for (;;) {
    if (!mayExecute(await stat(directory), user)) return false;
    const parent = dirname(directory);
    if (parent === directory) return true;
    directory = parent;
  }
}

/** True when `user` may read and run a file that it can reach. */
export async function canRun(file: string, user: UnixUser): Promise<boolean> {
  const stats = await stat(file);
  return mayExecute(stats, user) && hasBit(stats, user, 4);
}

function mayExecute(stats: Stats, user: UnixUser): boolean {
  return hasBit(stats, user, 1);
}

function hasBit(stats: Stats, user: UnixUser, bit: number): boolean {
  if (user.uid === 0) return true;
  const shift = stats.uid === user.uid ? 6 : stats.gid === user.gid ? 3 : 0;
  return ((stats.mode >> shift) & bit) !== 0;
}

async function nearestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    if (await exists(at)) return at;
    if (at === dirname(at)) return at;
  }
}

export async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
