/**
 * A server that speaks Redis's protocol inside this process, for machines without Redis: on loopback, with a password, in
 * bounded memory, and nothing kept. What it answers is compared with a real Redis, command by command, in its tests.
 */
import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import type { RedisTarget } from "../redis-target.ts";
import type { ServerState } from "./command.ts";
import { compatibleVersion } from "./commands/connection-commands.ts";
import { Keyspace } from "./keyspace.ts";
import { PubSub } from "./pub-sub.ts";
import { openScriptEngine } from "./script-engine.ts";
import { type ConnectionLimits, serveConnection } from "./serve-connection.ts";

const mebibyte = 1_048_576;

export interface EmbeddedRedisOptions {
  /** By default a free one. */
  port?: number;
  /** By default a random one. */
  password?: string;
  /** Of keys and values, estimated; 64 MiB unless told. Beyond it what would grow is refused, as by Redis. */
  maxBytes?: number;
  /** Milliseconds that one script may run; 500 unless told. Everything in this process waits for it. */
  scriptMs?: number;
  limits?: Partial<ConnectionLimits>;
}

export interface EmbeddedRedis {
  readonly target: RedisTarget;
  readonly port: number;
  readonly stop: () => Promise<void>;
}

const mostConnections = 1000;
const sweepEveryMs = 500;

export async function startEmbeddedRedis(options: EmbeddedRedisOptions = {}): Promise<EmbeddedRedis> {
  const password = options.password ?? randomBytes(24).toString("base64url");
  const sockets = new Set<Socket>();
  const state = await openState(options, password, () => sockets.size);
  const limits: ConnectionLimits = {
    request: { arguments: 65_536, bytes: 8 * mebibyte },
    unreadBytes: 16 * mebibyte,
    authenticateWithinMs: 10_000,
    ...options.limits,
  };
  let lastId = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    serveConnection(socket, ++lastId, state, limits);
  });
  server.maxConnections = mostConnections;
  const port = await listen(server, options.port ?? 0);
  const sweeping = setInterval(() => state.data.sweep(), sweepEveryMs).unref();
  return {
    target: { url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}/0` },
    port,
    stop: async () => {
      clearInterval(sweeping);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
      state.data.clear();
    },
  };
}

async function openState(options: EmbeddedRedisOptions, password: string, connections: () => number): Promise<ServerState> {
  const data = new Keyspace(options.maxBytes ?? 64 * mebibyte, Date.now);
  const digest = (text: string): Buffer => hash("sha256", Buffer.from(text, "latin1"), "buffer");
  const expected = hash("sha256", password, "buffer");
  const runId = randomBytes(20).toString("hex");
  const state: ServerState = {
    data,
    pubSub: new PubSub(),
    scripts: await openScriptEngine(() => state, { runMs: options.scriptMs ?? 500, memoryBytes: 64 * mebibyte }),
    isPassword: (candidate) => timingSafeEqual(digest(candidate), expected),
    describe: () => [
      "# Server",
      `redis_version:${compatibleVersion}`,
      "server_name:nexus-embedded",
      "redis_mode:standalone",
      `run_id:${runId}`,
      "# Clients",
      `connected_clients:${connections()}`,
      "# Memory",
      `used_memory:${data.bytes}`,
      `maxmemory:${data.maxBytes}`,
      "maxmemory_policy:noeviction",
      "# Persistence",
      "loading:0",
      "# Replication",
      "role:master",
      "connected_slaves:0",
      `master_replid:${runId}`,
    ],
  };
  return state;
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
