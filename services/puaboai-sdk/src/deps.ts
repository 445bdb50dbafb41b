import { hkdfSync } from "node:crypto";
import { type AuditWriter, openAuditWriter } from "@nexus/audit";
import type { Environment } from "@nexus/config";
import { type Clock, systemClock } from "@nexus/core";
import { connectionFrom, type Database, openDatabase } from "@nexus/db";
import { loadServiceTokens, personTokenVerifier, type PersonCaller, type ServiceTokens } from "@nexus/http";
import { type KeyChecker, openKeyChecker } from "@nexus/key-check";
import { createMetrics, type Logger, type Metrics } from "@nexus/telemetry";
import { type CallGate, openCallGate } from "./calls/call-gate.ts";
import { type Catalogue, openCatalogue } from "./catalogue/catalogue.ts";
import { openModels } from "./catalogue/open-models.ts";
import type { GatewayConfig } from "./config.ts";
import { openEmbeddedModels } from "./embedded/open-embedded-models.ts";
import { readProviderSecrets } from "./settings/provider-secrets.ts";
import { openUsage, type Usage } from "./usage/open-usage.ts";

export interface Deps {
  config: GatewayConfig;
  logger: Logger;
  metrics: Metrics;
  clock: Clock;
  database: Database;
  audit: AuditWriter;
  serviceTokens: ServiceTokens;
  keyChecker: KeyChecker;
  verifyPerson: (token: string) => Promise<PersonCaller>;
  catalogue: Catalogue;
  usage: Usage;
  gate: CallGate;
  cursorSecret: Buffer;
}

export interface Tools {
  logger: Logger;
  /** Where the keys of providers are looked up that `gateway.yaml` names. */
  environment?: Environment;
  clock?: Clock;
}

const callEndMs = 3000;

/** Opens all or nothing. `close` is called when no request is left. @throws ConfigError when a provider's key is missing */
export async function openDeps(config: GatewayConfig, tools: Tools): Promise<{ deps: Deps; close(): Promise<void> }> {
  const { logger, clock = systemClock } = tools;
  const secrets = readProviderSecrets(config.NEXUS_GATEWAY_CONFIG.providers, tools.environment ?? {});
  const opened: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closeOne of opened.splice(0).toReversed()) await closeOne();
  };
  try {
    const database = openDatabase(connectionFrom(config), {
      applicationName: "puaboai-sdk",
      poolSize: config.DB_POOL_SIZE,
      onError: (error) => logger.warn({ err: error }, "a database connection broke"),
    });
    opened.push(() => database.close());
    const embedded = await openEmbeddedModels();
    opened.push(() => embedded.close());
    const offered = await openModels({
      settings: config.NEXUS_GATEWAY_CONFIG,
      secrets,
      embedded,
      findsLocalServers: config.NEXUS_FIND_LOCAL_MODELS,
    });
    opened.push(() => offered.close());
    const usage = await openUsage({
      db: database.db,
      logger,
      directory: config.NEXUS_SPOOL_DIR,
      maxJournalBytes: config.NEXUS_SPOOL_MAX_BYTES,
    });
    const gate = openCallGate();
    // Cut connections have ended their calls, but for what still waits for an answer of PostgreSQL.
    opened.push(async () => {
      await gate.idle(callEndMs);
      await usage.close();
    });
    const serviceTokens = loadServiceTokens(config);
    const keyChecker = openKeyChecker({ verifyUrl: config.PV_KEYS_INTERNAL_URL, serviceToken: serviceTokens.own, clock });
    opened.push(() => keyChecker.close());
    const deps = {
      config,
      logger,
      metrics: createMetrics({ service: "puaboai-sdk" }),
      clock,
      database,
      audit: openAuditWriter({ clock, macKey: config.NEXUS_AUDIT_KEY }),
      serviceTokens,
      keyChecker,
      verifyPerson: personTokenVerifier({
        jwksUrl: `${config.PUABO_API_URL}/api/auth/jwks`,
        issuer: config.NEXUS_PUBLIC_URL,
        audience: "puaboai-sdk",
      }),
      catalogue: openCatalogue(offered.models),
      usage,
      gate,
      cursorSecret: Buffer.from(hkdfSync("sha256", config.NEXUS_AUDIT_KEY, "", "puaboai-sdk cursors", 32)),
    };
    return { deps, close };
  } catch (error) {
    await close();
    throw error;
  }
}
