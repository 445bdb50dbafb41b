/** The embedded composition: data services first, then migrations, then the three services in one process. */
import { loadConfig } from "@nexus/config";
import type { Environment } from "@nexus/config";
import { type Connection, connectionFrom, ensureRoles, migrate, startEmbeddedPostgres } from "@nexus/db";
import * as api from "@nexus/puabo-api";
import * as ai from "@nexus/puaboai-sdk";
import * as keys from "@nexus/pv-keys";
import { redisTargetFrom, type RedisTarget, startRedis } from "@nexus/redis";
import type { Logger } from "@nexus/telemetry";
import { namesDatabase, type PlatformConfig } from "./config.ts";
import { installationId, openInstallationSecrets, readInstallationSecret, type SecretFiles } from "./installation-secrets.ts";
import { serviceEnvironments, type ServiceEnvironments } from "./service-environments.ts";

interface StartOptions {
  config: PlatformConfig;
  env: Environment;
  dataDirectory: string;
  /** A logger that names the part it speaks for. */
  loggerFor: (part: string) => Logger;
}

export interface Platform {
  urls: { api: string; ai: string; keys: string };
  setupUrl: string | undefined;
  database: { embedded: boolean; host: string; port: number };
  cache: "redis-server" | "embedded" | "external";
  /** Reads gateway.yaml again. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

type Close = () => Promise<void>;

/** Starts everything or nothing: what was opened before a failure is closed again, last opened first. */
export async function startPlatform(options: StartOptions): Promise<Platform> {
  const opened: Close[] = [];
  const close = async (): Promise<void> => {
    for (const closeOne of opened.splice(0).toReversed()) await closeOne();
  };
  try {
    return { ...(await openAll(options, opened)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openAll(options: StartOptions, opened: Close[]): Promise<Omit<Platform, "close">> {
  const { config, env, dataDirectory, loggerFor } = options;
  const secrets = openInstallationSecrets(dataDirectory);
  const [database, cache] = await Promise.all([openDatabaseServer(options, opened), openCacheServer(options, opened)]);
  await prepareDatabase(database.connection, secrets);

  const environments = serviceEnvironments({
    config,
    own: env,
    secrets,
    database: database.connection,
    cache: cache.target,
    dataDirectory,
  });
  const { apiService, keysService, aiService } = await startServices(environments, loggerFor, opened);
  return {
    urls: { api: apiService.url, ai: aiService.url, keys: keysService.url },
    setupUrl: apiService.setupUrl,
    database: { embedded: database.embedded, host: database.connection.host, port: database.connection.port },
    cache: cache.kind,
    reload: () => aiService.reload(),
  };
}

async function startServices(environments: ServiceEnvironments, loggerFor: StartOptions["loggerFor"], opened: Close[]) {
  const running: Close[] = [];
  // They drain side by side: a long stream of one does not keep the others waiting.
  opened.push(async () => void (await Promise.all(running.map((close) => close()))));
  const started = async <T extends { close: Close }>(starting: Promise<T>): Promise<T> => {
    const service = await starting;
    running.push(() => service.close());
    return service;
  };
  const starting = [
    started(
      api.startService(loadConfig(api.configSchema, environments.api, api.configRules), { logger: loggerFor("puabo-api") }),
    ),
    started(
      keys.startService(loadConfig(keys.configSchema, environments.keys, keys.configRules), { logger: loggerFor("pv-keys") }),
    ),
    started(
      ai.startService(loadConfig(ai.configSchema, environments.ai, ai.configRules), {
        logger: loggerFor("puaboai-sdk"),
        environment: environments.ai,
      }),
    ),
  ] as const;
  // When one fails, the others are waited for first: what still opened must be in the list to be closed.
  await Promise.allSettled(starting);
  const [apiService, keysService, aiService] = await Promise.all(starting);
  return { apiService, keysService, aiService };
}

async function openDatabaseServer({ config, dataDirectory, env, loggerFor }: StartOptions, opened: Close[]) {
  if (namesDatabase(config)) {
    return { connection: connectionFrom(config), embedded: false };
  }
  const server = await startEmbeddedPostgres({
    dataDirectory: `${dataDirectory}/postgres-${installationId(dataDirectory)}`,
    ...(env["PATH"] === undefined ? {} : { path: env["PATH"] }),
    log: (line) => loggerFor("postgres").warn(line),
  });
  opened.push(() => server.stop());
  return { connection: server.connection, embedded: true };
}

async function openCacheServer(
  { config, dataDirectory, env, loggerFor }: StartOptions,
  opened: Close[],
): Promise<{ target: RedisTarget; kind: Platform["cache"] }> {
  const target = redisTargetFrom(config);
  if (target) return { target, kind: "external" };
  const server = await startRedis({
    preferEmbedded: config.NEXUS_CACHE === "embedded",
    directory: `${dataDirectory}/cache`,
    ...(env["PATH"] === undefined ? {} : { path: env["PATH"] }),
    log: (line) => loggerFor("cache").info(line),
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
  await migrate(owner);
}
