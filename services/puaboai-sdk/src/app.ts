import { Problem } from "@nexus/core";
import { isUnavailable } from "@nexus/db";
import { buildServer, type Server, toProblem, trustedProxiesOf } from "@nexus/http";
import { authenticateBearer, measureVerifier } from "@nexus/key-check";
import { addSpeechRoute } from "./audio/speech.routes.ts";
import { addTranscriptionRoutes } from "./audio/transcription.routes.ts";
import { addBudgetRoutes } from "./budgets/budgets.routes.ts";
import { addCreditRoutes } from "./budgets/credit.routes.ts";
import { addOwnBudgetRoutes } from "./budgets/own-budgets.routes.ts";
import type { CallDeps } from "./calls/call-deps.ts";
import { authorizationOf } from "./calls/credential.ts";
import { addModelRoutes } from "./catalogue/models.routes.ts";
import { addChatRoutes } from "./chat/chat.routes.ts";
import { addConfigurationRoutes } from "./configuration/configuration.routes.ts";
import { addContentLogRoutes } from "./contents/content-log.routes.ts";
import type { Deps } from "./deps.ts";
import { addEmbeddingRoutes } from "./embeddings/embeddings.routes.ts";
import { addAdminFreezeRoutes } from "./freezes/admin-freezes.routes.ts";
import { healthChecks, measureProviders } from "./health-checks.ts";
import { addImageRoutes } from "./images/images.routes.ts";
import { messagesErrors } from "./messages/messages-error.ts";
import { addMessagesRoutes } from "./messages/messages.routes.ts";
import { addModerationRoutes } from "./moderations/moderations.routes.ts";
import { addPriceRoutes } from "./prices/prices.routes.ts";
import { addRequestRoutes } from "./requests/requests.routes.ts";
import { addResponsesRoutes } from "./responses/responses.routes.ts";
import { addUsageSummaryRoutes } from "./usage/summary.routes.ts";
import { addUsageRoutes } from "./usage/usage.routes.ts";
import { openAiErrors } from "./wire/openai-error.ts";

export async function buildApp(deps: Deps): Promise<Server> {
  const { config, database, logger, metrics, clock, usage } = deps;
  measureVerifier(metrics, deps.verifier);
  measureProviders(metrics, deps.configuration);
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
    health: () => healthChecks(deps),
    readiness: async () => (await database.pendingMigrations()).map((name) => `migration ${name} is missing`),
    serviceTokens: deps.serviceTokens,
    trustedProxies: trustedProxiesOf(config),
    bodyLimitBytes: 64 * 1024,
  });
  const shared = { db: database.db, audit: deps.audit, clock, cursorSecret: deps.cursorSecret };
  addModelRoutes(server.published, { catalogue: deps.catalogue, offeredSince: Math.floor(clock.now() / 1000) });
  addUsageRoutes(server.published, { ...shared, recorder: usage.recorder });
  addUsageSummaryRoutes(server.published, { ...shared, recorder: usage.recorder });
  addRequestRoutes(server.published, { ...shared, recorder: usage.recorder });
  const { catalogue, priceBook } = deps;
  const budgets = { ...shared, feed: deps.verifier.feed, budgets: deps.budgets, catalogue, logger };
  addBudgetRoutes(server.published, budgets);
  addCreditRoutes(server.published, budgets);
  addOwnBudgetRoutes(server.published, budgets);
  const changes = { ...shared, verifier: deps.verifier };
  addPriceRoutes(server.published, { ...changes, catalogue, priceBook });
  addContentLogRoutes(server.published, { ...changes, contents: deps.contents });
  addAdminFreezeRoutes(server.published, deps);
  addConfigurationRoutes(server.published, { ...changes, configuration: deps.configuration });
  const calls = callDeps(deps);
  addChatRoutes(server.published, calls);
  addEmbeddingRoutes(server.published, calls);
  addMessagesRoutes(server.published, calls);
  addResponsesRoutes(server.published, calls);
  addModerationRoutes(server.published, calls);
  addImageRoutes(server.published, calls);
  addSpeechRoute(server.published, calls);
  addTranscriptionRoutes(server.published, calls);
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
    get hooks() {
      return deps.configuration.current.hooks;
    },
    recorder: usage.recorder,
    contents: deps.contents,
    budgets: deps.budgets,
    measure: deps.callMetrics,
    translate: (error) => toProblem(error, translate),
    logRefusal: (fields, message) => logger.warn(fields, message),
    bodyLimitBytes: config.NEXUS_MAX_BODY_BYTES,
    audioLimitBytes: config.NEXUS_MAX_AUDIO_BYTES,
  };
}

function translate(error: unknown): Problem | undefined {
  if (!isUnavailable(error)) return undefined;
  return new Problem("unavailable", undefined, { cause: error, headers: { "retry-after": "2" } });
}
