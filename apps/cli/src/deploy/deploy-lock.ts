import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Two deployments of one folder at a time would tear at the same containers.
 * The lock names its process; one whose process is gone, after a kill or a reboot, is taken over.
 * @returns lets go of the lock
 * @throws Error naming the process that holds it
 */
export function takeDeployLock(directory: string, self: { pid: number; isAlive: (pid: number) => boolean }): () => void {
  const folder = join(directory, ".nexus");
  const path = join(folder, "deploy.lock");
  mkdirSync(folder, { recursive: true });
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(path, `${self.pid}\n`, { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = holderOf(path);
    if (holder !== self.pid && self.isAlive(holder)) {
      throw new Error(`another deployment is running here (process ${holder}); wait for it, or remove ${path} if there is none`);
    }
    rmSync(path, { force: true });
  }
  throw new Error(`another deployment took ${path} at the same moment`);
}

/** 0 for a lock that vanished or was cut short by a crash; no process has that id. */
function holderOf(path: string): number {
  try {
    return Number(readFileSync(path, "utf8").trim()) || 0;
  } catch {
    return 0;
  }
}
