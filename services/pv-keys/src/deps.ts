import { hkdfSync } from "node:crypto";
import { type AuditWriter, openAuditWriter } from "@nexus/audit";
import { type Clock, systemClock } from "@nexus/core";
import { connectionFrom, type Database, type Db, openDatabase } from "@nexus/db";
import { loadServiceTokens, personTokenVerifier, type PersonCaller, type ServiceTokens, trustedProxiesOf } from "@nexus/http";
import type { Logger } from "@nexus/telemetry";
import type { KeysConfig } from "./config.ts";
import { batchLookups } from "./keys/batch-lookups.ts";
import { type PepperCheck, pepperCheck } from "./keys/confirm-peppers.ts";
import type { VerifiedKey } from "./keys/key.ts";
import { findKeysByHash } from "./keys/keys.store.ts";
import type { Peppers } from "./peppers.ts";

export interface Deps {
  config: KeysConfig;
  logger: Logger;
  clock: Clock;
  database: Database;
  db: Db;
  audit: AuditWriter;
  peppers: Peppers;
  pepperCheck: PepperCheck;
  /** The key that one of these hashes (one per pepper version) belongs to. */
  findKey: (hashes: readonly Buffer[]) => Promise<VerifiedKey | undefined>;
  serviceTokens: ServiceTokens;
  /** Origin under which people reach this service. */
  publicUrl: string;
  verifyPerson: (token: string) => Promise<PersonCaller>;
  cursorSecret: Buffer;
  trustedProxies: readonly string[];
}

export function openDeps(config: KeysConfig, logger: Logger): Deps {
  const database = openDatabase(connectionFrom(config), {
    applicationName: "pv-keys",
    poolSize: config.DB_POOL_SIZE,
    onError: (error) => logger.warn({ err: error }, "a database connection broke"),
  });
  const clock = systemClock;
  return {
    config,
    logger,
    clock,
    database,
    db: database.db,
    audit: openAuditWriter({ clock, macKey: config.NEXUS_AUDIT_KEY }),
    peppers: config.NEXUS_KEY_PEPPERS,
    pepperCheck: pepperCheck({ db: database.db, peppers: config.NEXUS_KEY_PEPPERS }),
    findKey: batchLookups(findKeysByHash(database.db)),
    serviceTokens: loadServiceTokens(config),
    publicUrl: config.NEXUS_PV_KEYS_PUBLIC_URL,
    verifyPerson: personTokenVerifier({
      jwksUrl: `${config.PUABO_API_URL}/api/auth/jwks`,
      issuer: config.NEXUS_PUBLIC_URL,
      audience: "pv-keys",
    }),
    cursorSecret: Buffer.from(hkdfSync("sha256", config.NEXUS_AUDIT_KEY, "", "pv-keys cursors", 32)),
    trustedProxies: trustedProxiesOf(config),
  };
}
