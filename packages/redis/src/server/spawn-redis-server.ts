/** A Redis of our own, from an installed binary: loopback only, a random password, nothing kept on disk. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import type { Readable, Writable } from "node:stream";
import { sendSignal } from "@nexus/processes";
import type { RedisTarget } from "../redis-target.ts";

export interface RedisServer {
  readonly target: RedisTarget;
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface SpawnOptions {
  binary: string;
  /** By default a free one. */
  port?: number;
  /** By default a random one. */
  password?: string;
  log?: (line: string) => void;
}

/** Said by the shell. */
const pidLine = /^pid (\d+)$/m;
const startWithinMs = 10_000;
const stopWithinMs = 3000;

/**
 * Runs Redis and ends it when our end of the shell's input closes, which the system does for us however we end.
 * The settings come on descriptor 3: an argument or a variable would show the password to every user.
 */
const keeper = `
exec 4<&0
"$0" - <&3 4<&- &
server=$!
exec 3<&-
echo "pid $server"
(cat <&4; kill -TERM $server) >/dev/null 2>&1 &
wait $server
exit $?
`;

/** Starts it and waits until it accepts connections. @throws Error with its last line when it does not start */
export async function spawnRedisServer(options: SpawnOptions): Promise<RedisServer> {
  // Between finding a free port and taking it, another process may take it; then the next one is tried.
  const attempts = options.port === undefined ? 3 : 1;
  for (let attempt = 1; ; attempt++) {
    try {
      return await spawnOn(options.port ?? (await freePort()), options);
    } catch (error) {
      if (attempt >= attempts || !(error instanceof Error) || !error.message.includes("already in use")) throw error;
    }
  }
}

async function spawnOn(port: number, options: SpawnOptions): Promise<RedisServer> {
  const password = options.password ?? randomBytes(24).toString("base64url");
  // A group of its own: Ctrl-C in the terminal reaches us alone, and Redis is stopped after those who use it.
  const child = spawn("/bin/sh", ["-c", keeper, options.binary], {
    detached: true,
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  // Redis ended by itself: the shell's other half goes too.
  child.once("exit", () => child.stdin?.destroy());
  // A write to a process that is already gone is told by its end.
  for (const stream of child.stdio) stream?.on("error", () => {});
  (child.stdio[3] as Writable).end(settings(port, password));
  try {
    const pid = await started(child, options);
    return { target: { url: `redis://:${password}@127.0.0.1:${port}/0` }, port, pid, stop: () => stop(child, pid, exited) };
  } catch (error) {
    if (child.pid !== undefined) sendSignal(-child.pid, "SIGKILL");
    throw error;
  }
}

function settings(port: number, password: string): string {
  const lines = [
    `port ${port}`,
    "bind 127.0.0.1",
    `requirepass ${password}`,
    'save ""',
    "appendonly no",
    "daemonize no",
    "maxmemory 256mb",
    "maxmemory-policy noeviction",
  ];
  return `${lines.join("\n")}\n`;
}

/** @returns the pid of Redis itself */
function started(child: ChildProcess, options: SpawnOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = "";
    const fail = (what: string): void => {
      const lines = output.replace(pidLine, "").trim().split("\n");
      const told = lines.find((line) => line.includes("already in use")) ?? lines.at(-1);
      reject(new Error(`${options.binary} ${what}: ${told ?? ""}`));
    };
    const timer = setTimeout(() => fail(`did not start within ${startWithinMs} ms`), startWithinMs);
    const hear = (chunk: Buffer): void => {
      const text = chunk.toString();
      for (const line of text.replace(pidLine, "").split("\n")) if (line.trim() !== "") options.log?.(line.trim());
      // What it prints later is for the log alone.
      if (output.length < 100_000) output += text;
      const pid = pidLine.exec(output)?.[1];
      if (pid === undefined || !output.includes("eady to accept connections")) return;
      clearTimeout(timer);
      resolve(Number(pid));
    };
    for (const stream of [child.stdout, child.stderr] as Readable[]) stream.on("data", hear);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      fail(`ended with ${code ?? "a signal"} instead of starting`);
    });
  });
}

async function stop(child: ChildProcess, pid: number, exited: Promise<void>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) sendSignal(pid, "SIGTERM");
  const force = setTimeout(() => child.pid !== undefined && sendSignal(-child.pid, "SIGKILL"), stopWithinMs);
  await exited;
  clearTimeout(force);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
