/** The embedded composition: data services first, then migrations, then the three services in one process. */
import { loadConfig } from "@nexus/config";
import { type Connection, connectionFrom, ensureRoles, migrate, startEmbeddedPostgres } from "@nexus/db";
import { redisTargetFrom, type RedisTarget, startRedis } from "@nexus/redis";
import * as api from "@nexus/puabo-api";
import * as ai from "@nexus/puaboai-sdk";
import * as keys from "@nexus/pv-keys";
import type { Logger } from "@nexus/telemetry";
import type { Environment } from "@nexus/config";
import type { PlatformConfig } from "./config.ts";
import { openInstallationSecrets, readInstallationSecret, type SecretFiles } from "./installation-secrets.ts";
import { serviceEnvironments } from "./service-environments.ts";

interface StartOptions {
  config: PlatformConfig;
  env: Environment;
  dataDirectory: string;
  logger: Logger;
}

export interface Platform {
  urls: { api: string; ai: string; keys: string };
  setupUrl: string | undefined;
  database: { embedded: boolean; host: string; port: number };
  cache: "redis-server" | "embedded" | "external";
  close(): Promise<void>;
}

type Close = () => Promise<void>;

/** Starts everything or nothing: what was opened before a failure is closed again, last opened first. */
export async function startPlatform(options: StartOptions): Promise<Platform> {
  const opened: Close[] = [];
  const close = async (): Promise<void> => {
    for (const closeOne of opened.splice(0).reverse()) await closeOne();
  };
  try {
    return { ...(await openAll(options, opened)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openAll(options: StartOptions, opened: Close[]): Promise<Omit<Platform, "close">> {
  const { config, env, dataDirectory, logger } = options;
  const secrets = openInstallationSecrets(dataDirectory);
  const [database, cache] = await Promise.all([openDatabaseServer(options, opened), openCacheServer(options, opened)]);
  await prepareDatabase(database.connection, secrets);

  const environments = serviceEnvironments({ config, own: env, secrets, database: database.connection, cache: cache.target, dataDirectory });
  const startOne = async <T extends { close: Close }>(starting: Promise<T>): Promise<T> => {
    const running = await starting;
    opened.push(() => running.close());
    return running;
  };
  const [apiService, keysService, aiService] = await allOrFirstError([
    startOne(api.startService(loadConfig(api.configSchema, environments.api, api.configRules), { logger: logger.child({ service: "puabo-api" }) })),
    startOne(keys.startService(loadConfig(keys.configSchema, environments.keys, keys.configRules), { logger: logger.child({ service: "pv-keys" }) })),
    startOne(ai.startService(loadConfig(ai.configSchema, environments.ai, ai.configRules), { logger: logger.child({ service: "puaboai-sdk" }) })),
  ]);
  return {
    urls: { api: apiService.url, ai: aiService.url, keys: keysService.url },
    setupUrl: apiService.setupUrl,
    database: { embedded: database.embedded, host: database.connection.host, port: database.connection.port },
    cache: cache.kind,
  };
}

/** Like `Promise.all`, but waits for every one to end first, so that what still opened is in the list to be closed. */
async function allOrFirstError<const T extends readonly Promise<unknown>[]>(promises: T): Promise<{ -readonly [I in keyof T]: Awaited<T[I]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

async function openDatabaseServer({ config, dataDirectory, logger }: StartOptions, opened: Close[]) {
  if (config.DATABASE_URL !== undefined || config.DB_HOST !== undefined) {
    return { connection: connectionFrom(config), embedded: false };
  }
  const server = await startEmbeddedPostgres({ dataDirectory: `${dataDirectory}/postgres`, log: (line) => logger.info({ line }, "postgres") });
  opened.push(() => server.stop());
  return { connection: server.connection, embedded: true };
}

async function openCacheServer({ config, dataDirectory, logger }: StartOptions, opened: Close[]): Promise<{ target: RedisTarget; kind: Platform["cache"] }> {
  const target = redisTargetFrom(config);
  if (target) return { target, kind: "external" };
  const server = await startRedis({
    preferEmbedded: config.NEXUS_CACHE === "embedded",
    directory: `${dataDirectory}/cache`,
    log: (line) => logger.info({ line }, "cache"),
  });
  opened.push(() => server.stop());
  return { target: server.target, kind: server.kind };
}

async function prepareDatabase(owner: Connection, secrets: SecretFiles): Promise<void> {
  await ensureRoles(owner, {
    nexus_api: readInstallationSecret(secrets.apiPassword),
    nexus_ai: readInstallationSecret(secrets.aiPassword),
    nexus_keys: readInstallationSecret(secrets.keysPassword),
  });
  await migrate(owner, { directory: new URL("../../../migrations", import.meta.url).pathname });
}
