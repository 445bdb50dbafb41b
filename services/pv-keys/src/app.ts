import { ConfigError } from "@nexus/config";
import { Problem } from "@nexus/core";
import { isUnavailable } from "@nexus/db";
import { buildServer, type HealthCheck, type Server } from "@nexus/http";
import { authenticateBearer, measureVerifier } from "@nexus/key-check";
import { createMetrics } from "@nexus/telemetry";
import type { Deps } from "./deps.ts";
import { addForwardedFreezeRoutes } from "./freezes/forwarded-freezes.routes.ts";
import { addFreezeRoutes } from "./freezes/freezes.routes.ts";
import { addKeyFormatRoutes } from "./key-formats/key-formats.routes.ts";
import { addKeyShareRoutes } from "./key-shares/key-shares.routes.ts";
import { addKeyRoutes } from "./keys/keys.routes.ts";
import { addLeakReportRoutes } from "./leaks/leak-reports.routes.ts";
import { addLeakRoutes } from "./leaks/leaks.routes.ts";
import { addPepperRoutes } from "./peppers/peppers.routes.ts";
import { addRewrapRoutes } from "./secrets/rewrap.routes.ts";
import { addSecretRoutes } from "./secrets/secrets.routes.ts";
import { addKeyUsageRoute } from "./usage/key-usage.routes.ts";
import { addLookUpRoute } from "./verify/look-up-key.routes.ts";
import { addVerifyRoutes } from "./verify/verify-key.routes.ts";
import { addWhoAmIRoute } from "./verify/whoami.routes.ts";

export async function buildApp(deps: Deps): Promise<Server> {
  const metrics = createMetrics({ service: "pv-keys" });
  measureVerifier(metrics, deps.verifier);
  const server = await buildServer({
    identity: {
      name: "pv-keys",
      version: deps.config.NEXUS_VERSION,
      commit: deps.config.NEXUS_COMMIT,
      description: "API keys: issue, verify, revoke.",
    },
    logger: deps.logger,
    metrics,
    clock: deps.clock,
    authenticate: (request) => authenticateBearer({ checker: deps.verifier.checker, verifyPerson: deps.verifyPerson }, request),
    translate: (error) => {
      // Peppers or key-encryption keys that do not fit what is stored: nothing can be told about it until the operator mends it.
      if (!isUnavailable(error) && !(error instanceof ConfigError)) return undefined;
      return new Problem("unavailable", undefined, { cause: error, headers: { "retry-after": "2" } });
    },
    health: [
      { name: "postgresql:connection", critical: true, probe: (signal) => deps.database.ping(signal) },
      ...cacheCheck(deps),
    ],
    readiness: () => notReadyBecause(deps),
    serviceTokens: deps.serviceTokens,
    trustedProxies: deps.trustedProxies,
    bodyLimitBytes: 64 * 1024,
  });
  addPepperRoutes(server.published, deps);
  addKeyRoutes(server.published, deps);
  addKeyFormatRoutes(server.published, deps);
  addKeyShareRoutes(server.published, deps);
  addKeyUsageRoute(server.published, deps);
  addWhoAmIRoute(server.published, deps);
  addLeakReportRoutes(server.published, deps);
  addLeakRoutes(server.published, deps);
  addVerifyRoutes(server, deps);
  addFreezeRoutes(server.published, deps);
  addForwardedFreezeRoutes(server.internal, deps);
  addLookUpRoute(server.internal, deps);
  addRewrapRoutes(server.published, deps);
  addSecretRoutes(server, deps);
  return server;
}

async function notReadyBecause(deps: Deps): Promise<string[]> {
  const missing = (await deps.database.pendingMigrations()).map((name) => `migration ${name} is missing`);
  if (missing.length > 0) return missing;
  try {
    await deps.keyEncryptionCheck.confirm();
    await deps.pepperCheck.confirm();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return [...error.faults];
    throw error;
  }
}

/** Redis carries the news of revocations faster, and counts limits for all replicas together; without it both go on. */
function cacheCheck({ redis }: Deps): HealthCheck[] {
  return redis ? [{ name: "redis:connection", critical: false, probe: (signal) => redis.cache.ping(signal) }] : [];
}
