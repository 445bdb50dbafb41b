import { type AuditWriter, openAuditWriter } from "@nexus/audit";
import type { Environment } from "@nexus/config";
import { type Clock, newUuid, systemClock } from "@nexus/core";
import { connectionFrom, type Database, type Db, openDatabase } from "@nexus/db";
import {
  loadServiceTokens,
  openServiceClient,
  personTokenVerifier,
  type PersonCaller,
  type ServiceClient,
  type ServiceTokens,
} from "@nexus/http";
import { openVerifier, serviceKeySource, type Verifier } from "@nexus/key-check";
import { type KeyLimits, openKeyLimits } from "@nexus/limits";
import { type Cache, openRedis, redisTargetFrom, type RedisTarget } from "@nexus/redis";
import { createMetrics, type Logger, type Metrics } from "@nexus/telemetry";
import { openAlertWebhook } from "./budgets/alert-webhook.ts";
import { Budgets } from "./budgets/budgets.ts";
import { followBudgets } from "./budgets/follow-budgets.ts";
import { type CallGate, openCallGate } from "./calls/call-gate.ts";
import { openRunningCalls, type RunningCalls } from "./calls/running-calls.ts";
import { type Catalogue, followingCatalogue } from "./catalogue/catalogue.ts";
import type { GatewayConfig } from "./config.ts";
import { type EntryFollower, followEntries } from "./configuration/follow-entries.ts";
import { followFile } from "./configuration/follow-file.ts";
import { LiveConfiguration } from "./configuration/live-configuration.ts";
import { ContentLog } from "./contents/content-log.ts";
import { openEmbeddedModels } from "./embedded/open-embedded-models.ts";
import { openCallHooks } from "./hooks/open-call-hooks.ts";
import { type CallMetrics, openCallMetrics } from "./metrics/call-metrics.ts";
import { PriceBook } from "./prices/price-book.ts";
import { discoverLocalServers } from "./providers/discover-local-servers.ts";
import { deriveKey } from "./sealing/derive-key.ts";
import { openVault, type Vault } from "./secrets/open-vault.ts";
import { readProviderSecrets } from "./secrets/provider-secrets.ts";
import { openUsage, type Usage } from "./usage/open-usage.ts";

export interface Deps {
  config: GatewayConfig;
  logger: Logger;
  metrics: Metrics;
  clock: Clock;
  database: Database;
  audit: AuditWriter;
  serviceTokens: ServiceTokens;
  /** The private listener of pv-keys. */
  pvKeys: ServiceClient;
  /** `undefined`: this installation has no Redis, and news travel by PostgreSQL alone. */
  redis: { cache: Cache; target: RedisTarget } | undefined;
  verifier: Verifier;
  limits: KeyLimits;
  runningCalls: RunningCalls;
  verifyPerson: (token: string) => Promise<PersonCaller>;
  vault: Vault;
  /** The models of the configuration in force. */
  catalogue: Catalogue;
  configuration: LiveConfiguration;
  /** What is set by API. */
  entries: EntryFollower;
  callMetrics: CallMetrics;
  usage: Usage;
  budgets: Budgets;
  priceBook: PriceBook;
  contents: ContentLog;
  gate: CallGate;
  cursorSecret: Buffer;
}

export interface Tools {
  logger: Logger;
  /** Where the keys of providers are looked up that `gateway.yaml` names. */
  environment?: Environment;
  clock?: Clock;
}

type Close = () => Promise<void>;

const callEndMs = 3000;

/** Opens all or nothing. `close` is called when no request is left. @throws ConfigError when a provider's key is missing */
export async function openDeps(config: GatewayConfig, tools: Tools): Promise<{ deps: Deps; close: Close }> {
  const opened: Close[] = [];
  const close = async (): Promise<void> => {
    for (const closeOne of opened.splice(0).toReversed()) await closeOne();
  };
  try {
    return { deps: await openAll(config, tools, opened), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openAll(config: GatewayConfig, tools: Tools, opened: Close[]): Promise<Deps> {
  const { logger, clock = systemClock } = tools;
  // A key that is missing is told before anything is opened.
  readProviderSecrets(config.NEXUS_GATEWAY_CONFIG.providers, tools.environment ?? {});
  const database = openDatabase(connectionFrom(config), {
    applicationName: "puaboai-sdk",
    poolSize: config.DB_POOL_SIZE,
    onError: (error) => logger.warn({ err: error }, "a database connection broke"),
  });
  opened.push(() => database.close());
  const serviceTokens = loadServiceTokens(config);
  const vault = openProviderVault(config, { serviceToken: serviceTokens.own, logger }, opened);
  const audit = openAuditWriter({ clock, macKey: config.NEXUS_AUDIT_KEY });
  const [metrics, gate] = [createMetrics({ service: "puaboai-sdk" }), openCallGate()];
  const configuration = await openConfiguration(config, { ...tools, clock, metrics, vault, gate }, opened);
  const usage = await openMetering(config, { db: database.db, audit, logger, gate }, opened);
  const defaultBudget = config.NEXUS_DEFAULT_BUDGET_NANOS;
  const budgets = new Budgets({ db: database.db, audit, clock, logger, processId: usage.processId, defaultBudget });
  opened.push(async () => budgets.close());
  openBudgetWebhook(config, { db: database.db, logger }, opened);
  const keys = openKeys(config, { db: database.db, serviceToken: serviceTokens.own, logger, clock }, opened);
  const { feed } = keys.verifier;
  vault.follow(feed);
  const entries = openEntries(config, { configuration, db: database.db, feed, logger }, opened);
  followBudgets({ feed, recorder: usage.recorder, budgets });
  const catalogue = followingCatalogue(() => configuration.current.offer.catalogue);
  const priceBook = openPriceBook({ db: database.db, clock, catalogue, logger, configuration, feed }, opened);
  const contents = openContentLog(config, { db: database.db, logger, metrics, feed }, opened);
  return {
    config,
    logger,
    metrics,
    clock,
    database,
    audit,
    serviceTokens,
    pvKeys: openPvKeys(config, serviceTokens, opened),
    ...keys,
    verifyPerson: personTokenVerifier({
      jwksUrl: `${config.PUABO_API_URL}/api/auth/jwks`,
      issuer: config.NEXUS_PUBLIC_URL,
      audience: "puaboai-sdk",
      isEnded: (token) => keys.verifier.endedSessions.includes(token),
    }),
    vault,
    configuration,
    entries,
    callMetrics: measureCalls(metrics, configuration),
    catalogue,
    usage,
    budgets,
    priceBook,
    contents,
    gate,
    cursorSecret: deriveKey(config.NEXUS_AUDIT_KEY, "puaboai-sdk cursors"),
  };
}

function measureCalls(metrics: Metrics, configuration: LiveConfiguration): CallMetrics {
  const measured = openCallMetrics(metrics);
  configuration.onReplaced(() => measured.keepOnly(configuration.current.offer.catalogue.all()));
  return measured;
}

type PriceTools = ConstructorParameters<typeof PriceBook>[0] & {
  configuration: LiveConfiguration;
  feed: Parameters<PriceBook["follow"]>[0];
};

function openPriceBook({ configuration, feed, ...tools }: PriceTools, opened: Close[]): PriceBook {
  const priceBook = new PriceBook(tools);
  opened.push(() => priceBook.close());
  priceBook.follow(feed);
  configuration.onReplaced(() => priceBook.apply());
  return priceBook;
}

type ContentTools = Omit<ConstructorParameters<typeof ContentLog>[0], "secret"> & { feed: Parameters<ContentLog["follow"]>[0] };

function openContentLog(config: GatewayConfig, { feed, ...tools }: ContentTools, opened: Close[]): ContentLog {
  const contents = new ContentLog({ ...tools, secret: config.NEXUS_AUDIT_KEY });
  opened.push(() => contents.close());
  contents.follow(feed);
  return contents;
}

function openBudgetWebhook(config: GatewayConfig, deps: { db: Db; logger: Logger }, opened: Close[]): void {
  const { NEXUS_BUDGET_WEBHOOK_URL: url, NEXUS_BUDGET_WEBHOOK_SECRET: secret } = config;
  if (url === undefined || secret === undefined) return;
  const webhook = openAlertWebhook({ ...deps, url, secret });
  opened.push(() => webhook.close());
}

interface KeySourceDeps {
  db: Db;
  serviceToken: string;
  logger: Logger;
  clock: Clock;
}

/** What decides about the keys of callers, and about how much each may ask for. */
function openKeys(
  config: GatewayConfig,
  deps: KeySourceDeps,
  opened: Close[],
): Pick<Deps, "redis" | "verifier" | "limits" | "runningCalls"> {
  const { db, logger, clock } = deps;
  const redis = openCache(config, logger, opened);
  const verifier = openVerifier({
    connection: connectionFrom(config),
    db,
    redis,
    source: serviceKeySource({ ...deps, url: config.PV_KEYS_INTERNAL_URL, peppers: config.NEXUS_KEY_PEPPERS }),
    clock,
    logger,
    service: "puaboai-sdk",
    port: config.PORT,
    blindSeconds: config.KEY_CHECK_BLIND_SECONDS,
  });
  opened.push(() => verifier.close());
  const replicas = (): number => verifier.feed.liveVerifiers();
  const limits = openKeyLimits({ cache: redis?.cache, db, clock, processId: newUuid(), replicas, logger });
  opened.push(() => limits.close());
  return { redis, verifier, limits, runningCalls: openRunningCalls(verifier) };
}

function openProviderVault(config: GatewayConfig, by: { serviceToken: string; logger: Logger }, opened: Close[]): Vault {
  const vault = openVault({ url: config.PV_KEYS_INTERNAL_URL, ...by });
  opened.push(() => vault.close());
  return vault;
}

/** With time for a receipt, for which pv-keys waits two seconds. */
function openPvKeys(config: GatewayConfig, { own: token }: ServiceTokens, opened: Close[]): ServiceClient {
  const pvKeys = openServiceClient({ baseUrl: config.PV_KEYS_INTERNAL_URL, token, connections: 4, timeoutMs: 5000 });
  opened.push(() => pvKeys.close());
  return pvKeys;
}

interface ConfigurationTools extends Tools {
  clock: Clock;
  metrics: Metrics;
  vault: Vault;
  gate: CallGate;
}

async function openConfiguration(config: GatewayConfig, tools: ConfigurationTools, opened: Close[]): Promise<LiveConfiguration> {
  const embedded = await openEmbeddedModels();
  opened.push(() => embedded.close());
  const { environment = {} } = tools;
  const hookTools = { ...tools, environment, redis: redisTargetFrom(config), secret: config.NEXUS_AUDIT_KEY };
  const configuration = new LiveConfiguration({
    ...tools,
    environment,
    file: config.NEXUS_GATEWAY_CONFIG,
    embedded,
    found: config.NEXUS_FIND_LOCAL_MODELS ? await discoverLocalServers() : [],
    openHooks: (settings) => openCallHooks(settings, hookTools),
  });
  opened.push(() => configuration.close());
  return configuration;
}

function openEntries(config: GatewayConfig, tools: Parameters<typeof followEntries>[0], opened: Close[]): EntryFollower {
  const entries = followEntries(tools);
  opened.push(() => entries.close());
  const { NEXUS_GATEWAY_CONFIG: file, NEXUS_GATEWAY_CONFIG_SECONDS: seconds } = config;
  if (file.path !== undefined && seconds > 0) {
    const onChange = () => tools.configuration.reloadFile();
    const follower = followFile({ path: file.path, everyMs: seconds * 1000, onChange });
    opened.push(() => follower.close());
  }
  return entries;
}

interface MeteringTools {
  db: Db;
  audit: AuditWriter;
  logger: Logger;
  gate: CallGate;
}

async function openMetering(config: GatewayConfig, { gate, ...deps }: MeteringTools, opened: Close[]): Promise<Usage> {
  const usage = await openUsage({
    ...deps,
    directory: config.NEXUS_SPOOL_DIR,
    maxJournalBytes: config.NEXUS_SPOOL_MAX_BYTES,
  });
  opened.push(async () => {
    // Cut connections have ended their calls, but for what still waits for an answer of PostgreSQL.
    await gate.idle(callEndMs);
    await usage.close();
  });
  return usage;
}

function openCache(config: GatewayConfig, logger: Logger, opened: Close[]): Deps["redis"] {
  const target = redisTargetFrom(config);
  if (!target) return undefined;
  const cache = openRedis(target, { logger });
  opened.push(() => cache.close());
  return { target, cache };
}
