import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { findFreePort } from "@nexus/db";
import { findRedisServer, type RedisTarget } from "@nexus/redis";
import { waitFor } from "./wait-for.ts";

export type RedisKind = "redis-server" | "embedded";

/** What there is to test against: the embedded one always, a real one where it is installed. */
export const redisKinds: readonly RedisKind[] = (await findRedisServer(process.env["PATH"]))
  ? ["embedded", "redis-server"]
  : ["embedded"];

/** A Redis in a process of its own, so that it can be stopped, killed and started again in its place. */
export interface RedisProcess {
  readonly target: RedisTarget;
  /** SIGSTOP: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  /** SIGKILL. Resolves when it is gone, and everything it held with it. */
  kill(): Promise<void>;
  /** Another server with nothing in it, at the same address. */
  start(): Promise<void>;
}

/** @throws Error when the server does not answer within 10 s, as where none is installed */
export async function startRedisProcess(kind: RedisKind): Promise<RedisProcess> {
  const port = await findFreePort();
  const password = randomBytes(12).toString("hex");
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    child = kind === "embedded" ? spawnEmbedded(port, password) : spawnServer(kind, port, password);
    await waitFor(() => accepts(port), { what: kind });
  };
  await start();
  return {
    target: { url: `redis://:${password}@127.0.0.1:${port}/0` },
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
    start,
  };
}

function spawnServer(program: string, port: number, password: string): ChildProcess {
  const settings = { port: String(port), bind: "127.0.0.1", requirepass: password, save: "", appendonly: "no" };
  return spawn(
    program,
    Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    {
      cwd: "/",
      stdio: "ignore",
    },
  );
}

function spawnEmbedded(port: number, password: string): ChildProcess {
  const module = fileURLToPath(new URL("../../redis/src/embedded/start-embedded-redis.ts", import.meta.url));
  const program = `const { startEmbeddedRedis } = await import(${JSON.stringify(module)});
    await startEmbeddedRedis(${JSON.stringify({ port, password })});`;
  return spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "ignore", "inherit"] });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
