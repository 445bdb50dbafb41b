import { hkdfSync } from "node:crypto";
import { type AuditWriter, openAuditWriter } from "@nexus/audit";
import { type LeaseWatch, openLeaseWatch } from "@nexus/change-feed";
import { type Clock, newUuid, systemClock } from "@nexus/core";
import { connectionFrom, type Database, type Db, openDatabase } from "@nexus/db";
import { loadServiceTokens, personTokenVerifier, type PersonCaller, type ServiceTokens, trustedProxiesOf } from "@nexus/http";
import { databaseSource, openVerifier, type Peppers, type Verifier } from "@nexus/key-check";
import { type KeyLimits, openKeyLimits } from "@nexus/limits";
import { type Cache, openRedis, redisTargetFrom, type RedisTarget } from "@nexus/redis";
import type { Logger } from "@nexus/telemetry";
import type { KeysConfig } from "./config.ts";
import { type PepperCheck, pepperCheck } from "./keys/confirm-peppers.ts";
import { openRehasher, type Rehasher } from "./peppers/rehash-keys.ts";
import { type KeyEncryptionCheck, keyEncryptionCheck } from "./secrets/confirm-key-encryption.ts";
import type { KeyEncryption } from "./secrets/key-encryption.ts";

export interface Deps {
  config: KeysConfig;
  logger: Logger;
  clock: Clock;
  database: Database;
  db: Db;
  audit: AuditWriter;
  peppers: Peppers;
  pepperCheck: PepperCheck;
  rehasher: Rehasher;
  /** Wraps the data keys of secrets; `undefined`: none was given, and secrets cannot be kept. */
  keyEncryption: KeyEncryption | undefined;
  keyEncryptionCheck: KeyEncryptionCheck;
  /** `undefined`: this installation has no Redis, and news travel by PostgreSQL alone. */
  redis: { cache: Cache; target: RedisTarget } | undefined;
  verifier: Verifier;
  limits: KeyLimits;
  /** Who else decides about keys, and how far each has followed the change feed. */
  leases: LeaseWatch;
  serviceTokens: ServiceTokens;
  /** Origin under which people reach this service. */
  publicUrl: string;
  verifyPerson: (token: string) => Promise<PersonCaller>;
  cursorSecret: Buffer;
  trustedProxies: readonly string[];
}

export interface Tools {
  logger: Logger;
  /** In place of the keys in the configuration: a KMS. */
  keyEncryption?: KeyEncryption | undefined;
}

/** Connects to nothing yet but Redis, which may be away. */
export function openDeps(config: KeysConfig, { logger, keyEncryption = config.NEXUS_KEY_ENCRYPTION_KEYS }: Tools): Deps {
  const redis = openCache(config, logger);
  const database = openDatabase(connectionFrom(config), {
    applicationName: "pv-keys",
    poolSize: config.DB_POOL_SIZE,
    onError: (error) => logger.warn({ err: error }, "a database connection broke"),
  });
  const clock = systemClock;
  const rehasher = openRehasher({ db: database.db, peppers: config.NEXUS_KEY_PEPPERS, logger });
  const verifier = openVerifier({
    connection: connectionFrom(config),
    db: database.db,
    redis,
    source: databaseSource({ db: database.db, peppers: config.NEXUS_KEY_PEPPERS, onOldPepper: (seen) => rehasher.rehash(seen) }),
    clock,
    logger,
    service: "pv-keys",
    port: config.PORT,
    blindSeconds: config.KEY_CHECK_BLIND_SECONDS,
  });
  return {
    config,
    logger,
    clock,
    database,
    db: database.db,
    audit: openAuditWriter({ clock, macKey: config.NEXUS_AUDIT_KEY }),
    peppers: config.NEXUS_KEY_PEPPERS,
    pepperCheck: pepperCheck({ db: database.db, peppers: config.NEXUS_KEY_PEPPERS }),
    rehasher,
    keyEncryption,
    keyEncryptionCheck: keyEncryptionCheck({ db: database.db, keyEncryption }),
    redis,
    verifier,
    limits: openKeyLimits({
      cache: redis?.cache,
      db: database.db,
      clock,
      processId: newUuid(),
      replicas: () => verifier.feed.liveVerifiers(),
      logger,
    }),
    leases: openLeaseWatch({
      db: database.db,
      redisTarget: redis?.target,
      clock,
      onError: (error) => logger.warn({ err: error }, "the leases of verifiers could not be read"),
    }),
    serviceTokens: loadServiceTokens(config),
    publicUrl: config.NEXUS_PV_KEYS_PUBLIC_URL,
    verifyPerson: personTokenVerifier({
      jwksUrl: `${config.PUABO_API_URL}/api/auth/jwks`,
      issuer: config.NEXUS_PUBLIC_URL,
      audience: "pv-keys",
      isEnded: (token) => verifier.endedSessions.includes(token),
    }),
    cursorSecret: Buffer.from(hkdfSync("sha256", config.NEXUS_AUDIT_KEY, "", "pv-keys cursors", 32)),
    trustedProxies: trustedProxiesOf(config),
  };
}

export async function closeDeps({ leases, verifier, limits, rehasher, database, redis }: Deps): Promise<void> {
  leases.close();
  await limits.close();
  await verifier.close();
  await rehasher.close();
  await Promise.all([database.close(), redis?.cache.close()]);
}

function openCache(config: KeysConfig, logger: Logger): Deps["redis"] {
  const target = redisTargetFrom(config);
  return target && { target, cache: openRedis(target, { logger }) };
}
