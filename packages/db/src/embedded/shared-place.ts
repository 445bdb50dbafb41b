import { createHash } from "node:crypto";
import { chmod, lstat, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownUid } from "@nexus/processes";
import { canEnter, type UnixUser } from "./run-as.ts";

/** Where root may put what another user has to reach, best first: the last two need not outlive a restart of the machine. */
const bases = (): string[] => ["/var/lib/nexus-cos", "/var/tmp/nexus-cos", join(tmpdir(), "nexus-cos")];

/**
 * A folder of root's that `user` can reach, the same for the same `key`, made where it is missing.
 * @throws Error naming every place that was tried
 */
export async function sharedPlace(key: string, user: UnixUser, from: readonly string[] = bases()): Promise<string> {
  const tried: string[] = [];
  for (const base of from) {
    try {
      await ownFolder(base);
      const place = join(base, createHash("sha256").update(key).digest("hex").slice(0, 16));
      await ownFolder(place);
      if (await canEnter(place, user)) return place;
      tried.push(`${base}: ${user.name} cannot reach it`);
    } catch (cause) {
      tried.push(`${base}: ${(cause as Error).message}`);
    }
  }
  throw new Error(`no place for what ${user.name} has to reach: ${tried.join("; ")}`);
}

/** In a world-writable folder such as /var/tmp anybody could have made it first and would own what we put there. */
async function ownFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  const stats = await lstat(path);
  if (!stats.isDirectory() || stats.uid !== ownUid || (stats.mode & 0o022) !== 0) {
    throw new Error(`${path} is not a folder that only we can write to`);
  }
  // Said outright: a umask of 077 would have made it ours alone.
  await chmod(path, 0o755);
}
