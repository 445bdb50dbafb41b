import { hkdfSync } from "node:crypto";
import { availableParallelism } from "node:os";
import { type AuditWriter, openAuditWriter } from "@nexus/audit";
import { assert, type Clock } from "@nexus/core";
import { connectionFrom, type Database, type Db, openDatabase } from "@nexus/db";
import { loadServiceTokens, type ServiceTokens } from "@nexus/http";
import { openVerifier, serviceKeySource, type Verifier } from "@nexus/key-check";
import { type Cache, openRedis, redisTargetFrom } from "@nexus/redis";
import type { Logger } from "@nexus/telemetry";
import type { ServiceConfig } from "./config.ts";
import { type AttemptLimiter, openAttemptLimiter } from "./limits/attempt-limiter.ts";
import { openPasswordHasher, parallelHashes, type PasswordHasher } from "./passwords/password-hasher.ts";
import { openSessionCache, type SessionCache } from "./sessions/session-cache.ts";
import { type SessionCookie, sessionCookieFor } from "./sessions/session-cookie.ts";
import type { SessionLifetime } from "./sessions/session.ts";

/** What the use cases of this service need; each names the few of these that it takes. */
export interface Deps {
  clock: Clock;
  logger: Logger;
  database: Database;
  db: Db;
  cache: Cache;
  /** Decides about the keys of programs, and tells other services which sessions have ended. */
  verifier: Verifier;
  serviceTokens: ServiceTokens;
  audit: AuditWriter;
  hasher: PasswordHasher;
  limiter: AttemptLimiter;
  sessionCache: SessionCache;
  sessionCookie: SessionCookie;
  sessionLifetime: SessionLifetime;
  cursorSecret: Buffer;
  publicUrl: string;
  signUpOpen: boolean;
  passwordMinLength: number;
}

const quarterHour = 15 * 60;
/** At 8 ms a hash on two cores, the last in the queue waits about a quarter of a second. */
const mostWaitingHashes = 64;

export async function openDeps(config: ServiceConfig, tools: { logger: Logger; clock: Clock }): Promise<Deps> {
  const { logger, clock } = tools;
  const database = openDatabase(connectionFrom(config), {
    applicationName: "puabo-api",
    poolSize: config.DB_POOL_SIZE,
    onError: (error) => logger.warn({ err: error }, "an idle connection to PostgreSQL broke"),
  });
  const target = redisTargetFrom(config);
  assert(target, "configRules asks for a Redis");
  const cache = openRedis(target, { logger });
  const serviceTokens = loadServiceTokens(config);
  return {
    clock,
    logger,
    database,
    db: database.db,
    cache,
    verifier: openVerifier({
      connection: connectionFrom(config),
      db: database.db,
      redis: { cache, target },
      source: serviceKeySource({
        url: config.PV_KEYS_INTERNAL_URL,
        serviceToken: serviceTokens.own,
        peppers: config.NEXUS_KEY_PEPPERS,
        db: database.db,
        logger,
        clock,
      }),
      clock,
      logger,
      service: "puabo-api",
      port: config.PORT,
      blindSeconds: config.KEY_CHECK_BLIND_SECONDS,
    }),
    serviceTokens,
    audit: openAuditWriter({ clock, macKey: config.NEXUS_AUDIT_KEY }),
    hasher: await openPasswordHasher({ parallel: parallelHashes(availableParallelism()), maxWaiting: mostWaitingHashes }),
    limiter: openAttemptLimiter({ cache, clock, quotas: quotasFrom(config) }),
    sessionCache: openSessionCache({ cache, clock, key: derivedKey(config, "nexus session cache 1") }),
    sessionCookie: sessionCookieFor(config.NEXUS_PUBLIC_URL),
    sessionLifetime: {
      idleMs: config.NEXUS_SESSION_IDLE_SECONDS * 1000,
      absoluteMs: config.NEXUS_SESSION_ABSOLUTE_SECONDS * 1000,
    },
    cursorSecret: derivedKey(config, "nexus cursor puabo-api 1"),
    publicUrl: config.NEXUS_PUBLIC_URL,
    signUpOpen: config.NEXUS_SIGN_UP === "open",
    passwordMinLength: config.NEXUS_PASSWORD_MIN_LENGTH,
  };
}

export async function closeDeps(deps: Deps): Promise<void> {
  deps.sessionCache.close();
  await deps.verifier.close();
  await Promise.all([deps.database.close(), deps.cache.close()]);
}

function quotasFrom(config: ServiceConfig) {
  return {
    account: { limit: config.NEXUS_SIGN_IN_PER_ACCOUNT, periodSeconds: quarterHour },
    network: { limit: config.NEXUS_SIGN_IN_PER_NETWORK, periodSeconds: quarterHour },
    everybody: { limit: config.NEXUS_SIGN_IN_PER_MINUTE, periodSeconds: 60 },
    signUp: { limit: Math.ceil(config.NEXUS_SIGN_IN_PER_NETWORK / 5), periodSeconds: 4 * quarterHour },
  };
}

/** A key of its own for each purpose, HKDF-SHA-256 (RFC 5869) of JWT_SECRET. */
function derivedKey(config: ServiceConfig, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", config.JWT_SECRET, "", purpose, 32));
}
