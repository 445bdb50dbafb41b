/**
 * Which redis-server belongs to which of our processes, so that one that outlived a killed owner is found and stopped, and
 * nothing else ever is. Each owner has its own file: two running copies never take each other's for a left-over.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { commandLine, isRunning, ownPid, sendSignal, startedAt } from "@nexus/processes";

interface ServerRecord {
  owner: { pid: number; startedAt: string };
  server: { pid: number; startedAt: string };
}

const prefix = "redis-";

/** @returns the path to remove when the server has ended */
export async function recordServer(directory: string, serverPid: number): Promise<string> {
  await mkdir(directory, { recursive: true });
  const record: ServerRecord = {
    owner: { pid: ownPid, startedAt: await startedAt(ownPid) },
    server: { pid: serverPid, startedAt: await startedAt(serverPid) },
  };
  const path = join(directory, `${prefix}${ownPid}-${serverPid}.json`);
  await writeFile(path, JSON.stringify(record), { mode: 0o600 });
  return path;
}

/** Stops the servers whose owners are gone. A pid that another program has meanwhile is left alone. */
export async function stopLeftOvers(directory: string, log: (line: string) => void): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(prefix) || !name.endsWith(".json")) continue;
    const path = join(directory, name);
    const record = await readRecord(path);
    if (record && (await isTheSame(record.owner))) continue;
    if (record && (await isTheSame(record.server)) && (await isRedis(record.server.pid))) {
      log(`stopping the redis-server ${record.server.pid} of an earlier start`);
      await stopProcess(record.server.pid);
    }
    await rm(path, { force: true });
  }
}

async function readRecord(path: string): Promise<ServerRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(path, "utf8")) as Partial<ServerRecord>;
    return [record.owner, record.server].every((end) => Number.isSafeInteger(end?.pid) && typeof end?.startedAt === "string")
      ? (record as ServerRecord)
      : undefined;
  } catch {
    // Killed while writing it: it names nobody.
    return undefined;
  }
}

async function isTheSame(recorded: { pid: number; startedAt: string }): Promise<boolean> {
  if (recorded.pid <= 1 || recorded.startedAt === "" || !(await isRunning(recorded.pid))) return false;
  return (await startedAt(recorded.pid)) === recorded.startedAt;
}

async function isRedis(pid: number): Promise<boolean> {
  return /(redis|valkey)-server/.test(await commandLine(pid));
}

async function stopProcess(pid: number): Promise<void> {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    sendSignal(pid, signal);
    for (let waited = 0; waited < 2000; waited += 20) {
      if (!(await isRunning(pid))) return;
      await delay(20);
    }
  }
}
