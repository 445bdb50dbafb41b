import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { commandLine, isRunning, sendSignal } from "@nexus/processes";

/**
 * Stops the postmaster that a killed Node left behind in `cluster`. It runs in a process group of its own, so it outlives
 * us; it cannot be adopted, and two may not run on one folder.
 * @returns its pid, or `undefined` when there was none
 */
export async function stopOrphan(cluster: string): Promise<number | undefined> {
  const pidFile = join(cluster, "postmaster.pid");
  const lines = (await readFile(pidFile, "utf8").catch(() => "")).split("\n");
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  if (!(await isRunning(pid))) {
    // Only a zombie's file: PostgreSQL clears the others itself, after making sure that no child lives on.
    if (sendSignal(pid, 0)) await rm(pidFile, { force: true });
    return undefined;
  }
  // The pid may have passed to an innocent process since.
  if (!(await commandLine(pid)).includes(cluster)) return undefined;
  // SIGINT: roll back and shut down. SIGQUIT: at once, the next start recovers (PostgreSQL, "Shutting Down the Server").
  for (const [signal, waitMs] of [
    ["SIGINT", 15_000],
    ["SIGQUIT", 10_000],
  ] as const) {
    sendSignal(pid, signal);
    if (await endsWithin(pid, waitMs)) return pid;
  }
  throw new Error(`the PostgreSQL that an earlier start left behind (process ${pid}) does not stop; end it and start again`);
}

async function endsWithin(pid: number, waitMs: number): Promise<boolean> {
  const deadline = performance.now() + waitMs;
  while (await isRunning(pid)) {
    if (performance.now() > deadline) return false;
    await delay(20);
  }
  return true;
}
