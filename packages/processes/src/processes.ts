/** Processes and users of the system: the one place beside `main.ts` that touches `process`. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

export const ownPid: number = process.pid;

/** Our user id; `undefined` where the system has none (Windows). */
export const ownUid: number | undefined = process.getuid?.();

/** False when there is no such process. A negative pid is a process group. */
export function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    // EPERM: it is there and somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** True while the process runs. A zombie does not: in a container nobody may ever collect it. */
export async function isRunning(pid: number): Promise<boolean> {
  if (!sendSignal(pid, 0)) return false;
  return (await statFields(pid))?.[0] !== "Z";
}

/** A text that differs between two processes that had the same pid one after the other; empty where nothing tells. */
export async function startedAt(pid: number): Promise<string> {
  return (await statFields(pid))?.[19] ?? (await askPs(pid, "lstart="));
}

/** The command line of a process; empty when it cannot be known. */
export async function commandLine(pid: number): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, "utf8")).replaceAll("\0", " ");
  } catch {
    return await askPs(pid, "command=");
  }
}

async function askPs(pid: number, field: string): Promise<string> {
  const printed = await promisify(execFile)("ps", ["-o", field, "-p", String(pid)]).catch(() => ({ stdout: "" }));
  return printed.stdout.trim();
}

/** proc_pid_stat(5) from the third field on: the second may hold spaces and parentheses. */
async function statFields(pid: number): Promise<string[] | undefined> {
  const line = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return line?.slice(line.lastIndexOf(")") + 2).split(" ");
}
