import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openRedis } from "@nexus/redis";

export interface RedisProcess {
  port: number;
  /** The same server seen through another port. */
  urlThrough(port: number): string;
  pause(): void;
  resume(): void;
  flush(): Promise<void>;
  stop(): Promise<void>;
}

/** The machine's Redis where one is installed, else the embedded one; in both cases not in this process. */
export async function startRedisProcess(directory: string): Promise<RedisProcess> {
  const records = join(directory, "redis");
  mkdirSync(records);
  const program = fileURLToPath(new URL("run-redis.ts", import.meta.url));
  const owner = fork(program, [records, process.env["PATH"] ?? ""], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const [{ url, pid }] = (await once(owner, "message")) as [{ url: string; pid: number }];
  const cache = openRedis({ url }, { commandTimeoutMs: 5000 });
  return {
    port: Number(new URL(url).port),
    urlThrough: (port) => {
      const through = new URL(url);
      through.port = String(port);
      return through.href;
    },
    pause: () => void process.kill(pid, "SIGSTOP"),
    resume: () => void process.kill(pid, "SIGCONT"),
    flush: async () => {
      await cache.waitUntilReady(5000);
      await cache.client.flushall();
    },
    stop: async () => {
      process.kill(pid, "SIGCONT");
      await cache.close();
      const exited = once(owner, "exit");
      owner.disconnect();
      await exited;
    },
  };
}
