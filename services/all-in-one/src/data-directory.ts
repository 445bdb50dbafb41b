/** The folder in which one installation lives: made, and held by one process at a time. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** The running process, as far as a lock needs to know it. */
type Self = Pick<NodeJS.Process, "pid" | "kill">;

export interface DataDirectory {
  path: string;
  release(): void;
}

/**
 * Claims the folder for this process.
 * @throws Error when a living process holds it; a lock left behind by a killed one is taken over.
 */
export function claimDataDirectory(path: string, self: Self): DataDirectory {
  const directory = resolve(path);
  // Others may pass through: as root, PostgreSQL runs as another user. What is secret lies in a folder of its own.
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  const lock = join(directory, "lock");
  const mine = `${self.pid} ${startOf(self.pid, self)}\n`;
  try {
    writeFileSync(lock, mine, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const holder = holderOf(lock, self);
    if (holder !== undefined) {
      throw new Error(`${directory} is in use by process ${holder}; stop it, or set NEXUS_DATA_DIR to another folder`, {
        cause: error,
      });
    }
    writeFileSync(lock, mine, { mode: 0o600 });
  }
  return { path: directory, release: () => rmSync(lock, { force: true }) };
}

/** The living process that wrote the lock. Process ids are reused, so the start time must match too. */
function holderOf(lock: string, self: Self): number | undefined {
  const [pid, start] = readFileSync(lock, "utf8").trim().split(" ");
  const id = Number(pid);
  if (!Number.isInteger(id) || id <= 0 || id === self.pid) return undefined;
  return startOf(id, self) === start && start !== "" ? id : undefined;
}

/** When a process began, as the kernel tells it; empty when there is no such process. */
function startOf(pid: number, self: Self): string {
  try {
    // Field 22 of /proc/<pid>/stat, counted after the command name, which may hold spaces and parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return isAlive(pid, self) ? "alive" : "";
  }
}

/** For systems without /proc. */
function isAlive(pid: number, self: Self): boolean {
  try {
    self.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
