import { Problem } from "@nexus/core";
import { isUnavailable } from "@nexus/db";
import { buildServer, type Server, trustedProxiesOf } from "@nexus/http";
import { measureVerifier } from "@nexus/key-check";
import { createMetrics } from "@nexus/telemetry";
import { accountRoutes } from "./accounts/accounts.routes.ts";
import { authDialect } from "./accounts/auth-dialect.ts";
import { auditRoutes } from "./audit/audit.routes.ts";
import type { ServiceConfig } from "./config.ts";
import type { Deps } from "./deps.ts";
import { healthChecks } from "./health-checks.ts";
import { moduleRoutes } from "./modules/modules.routes.ts";
import type { ModuleStatusReader } from "./modules/read-module-status.ts";
import { authenticate } from "./sessions/authenticate.ts";
import { checkOrigin } from "./sessions/check-origin.ts";
import { sessionRoutes } from "./sessions/sessions.routes.ts";
import { setupRoutes } from "./setup/setup.routes.ts";
import type { SigningKeys } from "./tokens/ensure-signing-key.ts";
import { tokenRoutes } from "./tokens/tokens.routes.ts";

interface Parts {
  config: ServiceConfig;
  signingKeys: SigningKeys;
  moduleStatus: ModuleStatusReader;
}

/** The whole HTTP surface of the service: a table of its features. */
export async function buildApp(deps: Deps, parts: Parts): Promise<Server> {
  const metrics = createMetrics({ service: "puabo-api" });
  measureVerifier(metrics, deps.verifier);
  const server = await buildServer({
    identity: {
      name: "puabo-api",
      version: "0.1.0",
      commit: parts.config.NEXUS_COMMIT,
      description: "Accounts, sessions, tokens, the audit log and the status of every module.",
    },
    logger: deps.logger,
    metrics,
    clock: deps.clock,
    authenticate: (request) => authenticate(deps, request),
    health: healthChecks(deps),
    readiness: async () => (await deps.database.pendingMigrations()).map((name) => `migration ${name} has not run`),
    dialects: [authDialect],
    serviceTokens: deps.serviceTokens,
    trustedProxies: trustedProxiesOf(parts.config),
    translate: unavailableFrom,
  });
  const app = server.published;
  app.addHook("onRequest", async (request) => {
    // The code in the body of /setup is proof enough, and under no-referrer a form has no origin to show.
    if (request.url.split("?", 1)[0] === "/setup") return;
    const { origin, "sec-fetch-site": secFetchSite } = request.headers;
    checkOrigin({ method: request.method, origin, secFetchSite: secFetchSite?.toString() }, deps.publicUrl);
  });
  setupRoutes(app, deps);
  accountRoutes(app, deps);
  sessionRoutes(app, deps);
  tokenRoutes(app, deps, parts.signingKeys);
  auditRoutes(app, deps);
  moduleRoutes(app, deps, parts.moduleStatus);
  return server;
}

/** PostgreSQL away is our trouble, not the caller's: 503, never 401. */
function unavailableFrom(error: unknown): Problem | undefined {
  if (!isUnavailable(error)) return undefined;
  return new Problem("unavailable", undefined, { cause: error, headers: { "retry-after": "2" } });
}
