import type { Environment } from "@nexus/config";
/** What each service would read from its own environment, had it been started alone. */
import type { Connection } from "@nexus/db";
import type { RedisTarget } from "@nexus/redis";
import type { PlatformConfig } from "./config.ts";
import type { SecretFiles } from "./installation-secrets.ts";

interface Parts {
  config: PlatformConfig;
  /** The environment the composition itself was started with: settings of a single service pass through. */
  own: Environment;
  secrets: SecretFiles;
  database: Pick<Connection, "host" | "port" | "database">;
  cache: RedisTarget;
  dataDirectory: string;
}

export interface ServiceEnvironments {
  api: Environment;
  ai: Environment;
  keys: Environment;
}

export function serviceEnvironments({ config, own, secrets, database, cache, dataDirectory }: Parts): ServiceEnvironments {
  const { NEXUS_PUABO_API_PORT: apiPort, NEXUS_PUABOAI_SDK_PORT: aiPort, NEXUS_PV_KEYS_PORT: keysPort } = config;
  const shared = {
    ...withoutPlatformSettings(own),
    NEXUS_PUBLIC_URL: config.NEXUS_PUBLIC_URL ?? `http://localhost:${apiPort}`,
    NEXUS_BIND_HOST: config.NEXUS_BIND_HOST,
    NEXUS_LOG_LEVEL: config.NEXUS_LOG_LEVEL,
    DB_HOST: database.host,
    DB_PORT: String(database.port),
    DB_NAME: database.database,
    NEXUS_AUDIT_KEY_FILE: secrets.auditKey,
    PUABO_API_URL: `http://127.0.0.1:${apiPort}`,
    PUABO_API_INTERNAL_URL: `http://127.0.0.1:${internal(apiPort)}`,
    PUABOAI_SDK_INTERNAL_URL: `http://127.0.0.1:${internal(aiPort)}`,
    PV_KEYS_INTERNAL_URL: `http://127.0.0.1:${internal(keysPort)}`,
  };
  return {
    api: {
      ...shared,
      PORT: String(apiPort),
      NEXUS_PUABO_API_INTERNAL_PORT: String(internal(apiPort)),
      DB_USER: "nexus_api",
      DB_PASSWORD_FILE: secrets.apiPassword,
      REDIS_URL: cache.url,
      JWT_SECRET_FILE: secrets.jwtSecret,
      NEXUS_KEY_PEPPERS_FILE: secrets.keyPeppers,
      NEXUS_SERVICE_TOKEN_FILE: secrets.apiToken,
      NEXUS_CALLER_TOKEN_FILES: `puaboai-sdk=${secrets.aiToken},pv-keys=${secrets.keysToken}`,
    },
    ai: {
      ...shared,
      PORT: String(aiPort),
      NEXUS_PUABOAI_SDK_INTERNAL_PORT: String(internal(aiPort)),
      DB_USER: "nexus_ai",
      DB_PASSWORD_FILE: secrets.aiPassword,
      REDIS_URL: cache.url,
      NEXUS_KEY_PEPPERS_FILE: secrets.keyPeppers,
      NEXUS_SPOOL_DIR: own.NEXUS_SPOOL_DIR || `${dataDirectory}/spool`,
      NEXUS_SERVICE_TOKEN_FILE: secrets.aiToken,
      NEXUS_CALLER_TOKEN_FILES: `puabo-api=${secrets.apiToken}`,
    },
    keys: {
      ...shared,
      PORT: String(keysPort),
      NEXUS_PV_KEYS_INTERNAL_PORT: String(internal(keysPort)),
      NEXUS_PV_KEYS_PUBLIC_URL: own["NEXUS_PV_KEYS_PUBLIC_URL"] || `http://localhost:${keysPort}`,
      DB_USER: "nexus_keys",
      DB_PASSWORD_FILE: secrets.keysPassword,
      REDIS_URL: cache.url,
      NEXUS_KEY_PEPPERS_FILE: secrets.keyPeppers,
      NEXUS_KEY_ENCRYPTION_KEYS_FILE: secrets.keyEncryptionKeys,
      NEXUS_SERVICE_TOKEN_FILE: secrets.keysToken,
      NEXUS_CALLER_TOKEN_FILES: `puabo-api=${secrets.apiToken},puaboai-sdk=${secrets.aiToken}`,
    },
  };
}

/** The private listener stands 10,000 above the published one; near the end of the range, 10,000 below. */
export function internal(port: number): number {
  return port + 10_000 <= 65_535 ? port + 10_000 : port - 10_000;
}

/** Variables that the composition sets itself, whatever its own environment says. */
const platformSettings =
  /^(PORT|DATABASE_URL|DB_|REDIS_|JWT_SECRET|NEXUS_(AUDIT_KEY|KEY_PEPPERS|KEY_ENCRYPTION_KEYS|SERVICE_TOKEN|CALLER_TOKEN|.*_INTERNAL_PORT$))/;

export function withoutPlatformSettings(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !platformSettings.test(name)));
}
