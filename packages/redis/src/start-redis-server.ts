import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
/** A Redis of our own, from the binary on the PATH: loopback only, a random password, nothing kept on disk. */
import type { RedisTarget } from "./redis-target.ts";

export interface RedisServer {
  target: RedisTarget;
  port: number;
  pid: number;
  stop(): Promise<void>;
}

const names = ["redis-server", "valkey-server"];

/** The first redis-server or valkey-server on a PATH. */
export function findRedisServer(path: string): string | undefined {
  const candidates = path.split(delimiter).flatMap((directory) => names.map((name) => join(directory, name)));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

interface StartOptions {
  binary: string;
  port?: number;
  password?: string;
  log?: (line: string) => void;
}

/** Starts it and waits until it accepts connections. The settings go through its standard input: an argument would show the password to every user. */
export async function startRedisServer(options: StartOptions): Promise<RedisServer> {
  const port = options.port ?? (await freePort());
  const password = options.password ?? randomBytes(24).toString("base64url");
  // A group of its own: Ctrl-C in the terminal reaches the platform, which then stops Redis last.
  const child = spawn(options.binary, ["-"], { stdio: ["pipe", "pipe", "pipe"], detached: true });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const settings = [
    `port ${port}`,
    "bind 127.0.0.1",
    `requirepass ${password}`,
    'save ""',
    "appendonly no",
    "daemonize no",
    "maxmemory-policy noeviction",
  ];
  child.stdin.end(`${settings.join("\n")}\n`);
  await new Promise<void>((resolve, reject) => {
    let output = "";
    const hear = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4000);
      options.log?.(chunk.toString().trim());
      if (output.includes("Ready to accept connections")) resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`${options.binary} ended with ${code} instead of starting: ${output.trim().split("\n").at(-1) ?? ""}`)),
    );
  });
  return {
    target: { url: `redis://:${password}@127.0.0.1:${port}/0` },
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), 3000);
      await exited;
      clearTimeout(force);
    },
  };
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
