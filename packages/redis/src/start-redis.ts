import { rm } from "node:fs/promises";
import { startEmbeddedRedis } from "./embedded/start-embedded-redis.ts";
import type { RedisTarget } from "./redis-target.ts";
import { findRedisServer } from "./server/find-redis-server.ts";
import { recordServer, stopLeftOvers } from "./server/server-record.ts";
import { spawnRedisServer } from "./server/spawn-redis-server.ts";

export interface StartRedisOptions {
  /** The embedded server even where a redis-server is installed. */
  preferEmbedded?: boolean;
  /** Where to note which server is ours; nothing that Redis holds is ever written to disk. */
  directory?: string;
  /** Where to look for redis-server and valkey-server, as PATH; by default the usual places. */
  path?: string;
  log?: (line: string) => void;
}

export interface StartedRedis {
  target: RedisTarget;
  kind: "redis-server" | "embedded";
  stop(): Promise<void>;
}

/** A Redis for this process alone, on loopback: an installed one, else the embedded one. */
export async function startRedis(options: StartRedisOptions = {}): Promise<StartedRedis> {
  const log = options.log ?? (() => {});
  if (options.directory !== undefined) await stopLeftOvers(options.directory, log);
  const binary = options.preferEmbedded === true ? undefined : await findRedisServer(options.path);
  if (binary === undefined) {
    const { target, stop } = await startEmbeddedRedis();
    return { target, kind: "embedded", stop };
  }
  const server = await spawnRedisServer({ binary, log });
  try {
    const record = options.directory === undefined ? undefined : await recordServer(options.directory, server.pid);
    const stop = async (): Promise<void> => {
      await server.stop();
      if (record !== undefined) await rm(record, { force: true });
    };
    return { target: server.target, kind: "redis-server", stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
