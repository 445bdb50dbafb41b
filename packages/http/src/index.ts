export type { FastifyReply, FastifyRequest } from "fastify";
export { buildServer } from "./build-server.ts";
export { type Caller, isAdmin, type KeyCaller, type Permission, type PersonCaller, type ServiceCaller } from "./caller.ts";
export { traceIdOf } from "./exchange.ts";
export { type FastRoute, type JsonText, jsonText } from "./fast-lane.ts";
export { bearerOf } from "./guard.ts";
export { Degraded, type HealthCheck } from "./health.ts";
export { openServiceClient, type ServiceClient } from "./open-service-client.ts";
export { personTokenVerifier } from "./person-token-verifier.ts";
export { type ErrorDialect, problemDocument, toProblem } from "./problem-answer.ts";
export { rateLimitHeaders, type RateLimitState, retryAfter } from "./rate-limit-headers.ts";
export {
  addLogFields,
  callerOf,
  changedBy,
  type ChangedBy,
  personOf,
  type RequestContext,
  requestContext,
} from "./request-context.ts";
export { runMain, StartFault } from "./run-main.ts";
export { listenAddressOf, serverFields, serverRules, trustedProxiesOf } from "./server-fields.ts";
export type { App, HomePage, ListenAddress, Server, ServerOptions, ServiceIdentity } from "./server-options.ts";
export { loadServiceTokens, serviceTokenFields, type ServiceTokens } from "./service-tokens.ts";
