import { Problem } from "@nexus/core";
import { isUnavailable } from "@nexus/db";
import { buildServer, type HealthCheck, type Server, toProblem, trustedProxiesOf } from "@nexus/http";
import { authenticateBearer, measureVerifier } from "@nexus/key-check";
import type { Metrics } from "@nexus/telemetry";
import { addBudgetRoutes } from "./budgets/budgets.routes.ts";
import { addCreditRoutes } from "./budgets/credit.routes.ts";
import { addOwnBudgetRoutes } from "./budgets/own-budgets.routes.ts";
import type { CallDeps } from "./calls/call-deps.ts";
import { authorizationOf } from "./calls/credential.ts";
import { openAiErrors } from "./calls/openai-error.ts";
import { addModelRoutes } from "./catalogue/models.routes.ts";
import { addChatRoutes } from "./chat/chat.routes.ts";
import type { Deps } from "./deps.ts";
import { addEmbeddingRoutes } from "./embeddings/embeddings.routes.ts";
import { addAdminFreezeRoutes } from "./freezes/admin-freezes.routes.ts";
import { addImageRoutes } from "./images/images.routes.ts";
import { messagesErrors } from "./messages/messages-error.ts";
import { addMessagesRoutes } from "./messages/messages.routes.ts";
import { addModerationRoutes } from "./moderations/moderations.routes.ts";
import { addPriceRoutes } from "./prices/prices.routes.ts";
import type { Upstream } from "./proxy/open-upstream.ts";
import { addRequestRoutes } from "./requests/requests.routes.ts";
import { addResponsesRoutes } from "./responses/responses.routes.ts";
import type { Vault } from "./settings/open-vault.ts";
import { addUsageRoutes } from "./usage/usage.routes.ts";

export async function buildApp(deps: Deps): Promise<Server> {
  const { config, database, logger, metrics, clock, usage } = deps;
  measureVerifier(metrics, deps.verifier);
  measureProviders(metrics, deps.providers);
  const server = await buildServer({
    identity: {
      name: "puaboai-sdk",
      version: config.NEXUS_VERSION,
      commit: config.NEXUS_COMMIT,
      description: "AI gateway: the APIs of OpenAI and Anthropic before many model providers.",
    },
    logger,
    metrics,
    clock,
    authenticate: (request) =>
      authenticateBearer(
        { checker: deps.verifier.checker, verifyPerson: deps.verifyPerson },
        { headers: { authorization: authorizationOf(request) }, ip: request.ip },
      ),
    translate,
    dialects: [openAiErrors, messagesErrors],
    health: healthChecks(deps),
    readiness: async () => (await database.pendingMigrations()).map((name) => `migration ${name} is missing`),
    serviceTokens: deps.serviceTokens,
    trustedProxies: trustedProxiesOf(config),
    bodyLimitBytes: 64 * 1024,
  });
  const shared = { db: database.db, audit: deps.audit, clock, cursorSecret: deps.cursorSecret };
  addModelRoutes(server.published, { catalogue: deps.catalogue, offeredSince: Math.floor(clock.now() / 1000) });
  addUsageRoutes(server.published, { ...shared, recorder: usage.recorder });
  addRequestRoutes(server.published, { ...shared, recorder: usage.recorder });
  const budgets = { ...shared, feed: deps.verifier.feed, budgets: deps.budgets, logger };
  addBudgetRoutes(server.published, budgets);
  addCreditRoutes(server.published, budgets);
  addOwnBudgetRoutes(server.published, budgets);
  const { catalogue, priceBook } = deps;
  addPriceRoutes(server.published, { ...shared, feed: deps.verifier.feed, catalogue, priceBook });
  addAdminFreezeRoutes(server.published, deps);
  const calls = callDeps(deps);
  addChatRoutes(server.published, calls);
  addEmbeddingRoutes(server.published, calls);
  addMessagesRoutes(server.published, calls);
  addResponsesRoutes(server.published, calls);
  addModerationRoutes(server.published, calls);
  addImageRoutes(server.published, calls);
  return server;
}

function callDeps(deps: Deps): CallDeps {
  const { config, logger, clock, usage } = deps;
  return {
    clock,
    catalogue: deps.catalogue,
    gate: deps.gate,
    limits: deps.limits,
    runningCalls: deps.runningCalls,
    hooks: deps.hooks,
    recorder: usage.recorder,
    budgets: deps.budgets,
    translate: (error) => toProblem(error, translate),
    logRefusal: (fields, message) => logger.warn(fields, message),
    bodyLimitBytes: config.NEXUS_MAX_BODY_BYTES,
  };
}

function translate(error: unknown): Problem | undefined {
  if (!isUnavailable(error)) return undefined;
  return new Problem("unavailable", undefined, { cause: error, headers: { "retry-after": "2" } });
}

/** Without PostgreSQL only free models and known keys go on, for a while; without the others part of the callers is served. */
function healthChecks(deps: Deps): HealthCheck[] {
  return [
    { name: "postgresql:connection", critical: true, probe: (signal) => deps.database.ping(signal) },
    { name: "spool:writable", critical: true, probe: () => deps.usage.probeSpool() },
    ...(deps.redis ? [redisCheck(deps.redis)] : []),
    { name: "pv-keys:livez", critical: false, probe: (signal) => probe(`${deps.config.PV_KEYS_INTERNAL_URL}/livez`, signal) },
    ...(deps.vault.credentials.size > 0 ? [vaultCheck(deps.vault)] : []),
    ...(deps.providers.length > 0 ? [providerCheck(deps.providers)] : []),
    { name: "puabo-api:livez", critical: false, probe: (signal) => probe(`${deps.config.PUABO_API_URL}/livez`, signal) },
  ];
}

/** Its providers answer 503 until it is there. */
function vaultCheck(vault: Vault): HealthCheck {
  return {
    name: "provider-secrets:known",
    critical: false,
    probe: async () => {
      const missing = vault.missing();
      if (missing.length > 0) throw new Error(`not read yet: ${missing.join(", ")}`);
    },
  };
}

/** One that keeps failing is left alone for a while; models of others go on. */
function providerCheck(providers: readonly Upstream[]): HealthCheck {
  return {
    name: "providers:answering",
    critical: false,
    probe: async () => {
      const failing = providers.filter((provider) => provider.isOpen()).map(({ settings }) => settings.name);
      if (failing.length > 0) throw new Error(`keep failing: ${failing.join(", ")}`);
    },
  };
}

function measureProviders(metrics: Metrics, providers: readonly Upstream[]): void {
  metrics.gauge({
    name: "nexus_gateway_provider_open",
    help: "1 while a provider is left alone because it kept failing",
    labelNames: ["provider"],
    collect() {
      for (const { settings, isOpen } of providers) this.set({ provider: settings.name }, Number(isOpen()));
    },
  });
}

function redisCheck({ cache }: NonNullable<Deps["redis"]>): HealthCheck {
  return { name: "redis:connection", critical: false, probe: (signal) => cache.ping(signal) };
}

async function probe(url: string, signal: AbortSignal): Promise<void> {
  const answer = await fetch(url, { signal, redirect: "error" });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
}
