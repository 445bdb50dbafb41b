import type { Socket } from "node:net";
import { type TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Problem } from "@nexus/core";
import type { Logger, Metrics } from "@nexus/telemetry";
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
  type FastifyReply,
  type FastifyRequest,
  type RouteOptions,
} from "fastify";
/** One Fastify listener with everything that holds for every route of every service. */
import { type Permission, authorize, type Caller } from "./caller.ts";
import { type ErrorDialect, problemAnswerer } from "./problem-answer.ts";
import { beginRequest } from "./request-context.ts";
import { validatorCompiler } from "./validate.ts";

export interface ListenerOptions {
  logger: Logger;
  metrics: Metrics;
  dialects: readonly ErrorDialect[];
  translate: (error: unknown) => Problem | undefined;
  authenticate: (request: FastifyRequest) => Promise<Caller | undefined>;
  bodyLimitBytes: number;
  trustedProxies: readonly string[];
}

/** A Fastify instance whose handlers are typed by their TypeBox schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export function createListener(options: ListenerOptions): App {
  const app = Fastify({
    bodyLimit: options.bodyLimitBytes,
    trustProxy: options.trustedProxies.length > 0 ? [...options.trustedProxies] : false,
    // A head must arrive within 10 s, a whole request within 60 s: a caller that drips bytes holds no socket for long.
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 5_000 },
    requestTimeout: 60_000,
    keepAliveTimeout: 65_000,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: (error, request, reply) => {
      beginRequest(request);
      void reply.header("x-request-id", request.requestId);
      answer(error, request, reply);
    },
    clientErrorHandler: answerBrokenRequest,
  }).withTypeProvider<TypeBoxTypeProvider>();

  const answer = problemAnswerer(options);
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler(answer);
  app.setNotFoundHandler((request, reply) => answer(missing(app, request), request, reply));
  app.decorateRequest("requestId", "" as never);
  app.decorateRequest("clientRequestId", undefined);
  app.decorateRequest("authenticatedCaller", undefined);
  app.decorateRequest("startedAt", 0);

  app.addHook("onRoute", requirePermission);
  app.addHook("onRequest", async (request, reply) => {
    beginRequest(request);
    void reply.headers({
      "x-request-id": request.requestId,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    });
    await admit(request, reply, options.authenticate);
  });
  app.addHook("onResponse", async (request, reply) => record(request, reply, options));
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body: string, done) =>
    parseJson(request, body, (error, value: unknown) =>
      done(error ?? (body.includes("\\u0000") ? refuseNul(value) : null), value),
    ),
  );
  app.addContentTypeParser("application/octet-stream", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  return app;
}

/** PostgreSQL stores no U+0000 in text; refused here, by name, instead of failing at the first INSERT. */
function refuseNul(body: unknown): Problem | null {
  const pointer = pointerToNul(body, "", 0);
  if (pointer === undefined) return null;
  const detail = "holds U+0000, which no text here may";
  return new Problem("invalid_request", `${pointer || "The body"} ${detail}.`, { errors: [{ pointer, detail }] });
}

function pointerToNul(value: unknown, at: string, depth: number): string | undefined {
  if (typeof value === "string") return value.includes("\u0000") ? at : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth > 200) return at;
  for (const [name, member] of Object.entries(value)) {
    if (name.includes("\u0000")) return at;
    const found = pointerToNul(member, `${at}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A route that does not say who may use it does not exist. */
function requirePermission(route: RouteOptions): void {
  // The reference page is a plugin of its own and knows nothing of permissions.
  if (route.url.startsWith("/docs")) route.config = { ...route.config, permission: "public" };
  if (route.config?.permission === undefined)
    throw new Error(`the route ${String(route.method)} ${route.url} names no permission`);
}

async function admit(request: FastifyRequest, reply: FastifyReply, authenticate: ListenerOptions["authenticate"]): Promise<void> {
  const permission: Permission | undefined = request.routeOptions.config.permission;
  if (permission === undefined || permission === "public") return;
  const caller = await authenticate(request);
  if (!caller) {
    throw new Problem("unauthenticated", undefined, { headers: { "www-authenticate": 'Bearer realm="nexus"' } });
  }
  request.authenticatedCaller = caller;
  void reply.header("cache-control", "no-store");
  authorize(caller, permission);
}

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;

/** 404, or 405 where the path exists under other methods (RFC 9110 §15.5.6). */
function missing(app: App, request: FastifyRequest): Problem {
  const url = request.url.split("?", 1)[0] ?? "/";
  const allowed = methods.filter((method) => app.findRoute({ method, url }) !== null);
  if (allowed.length === 0) return new Problem("not_found");
  return new Problem("method_not_allowed", `Use ${allowed.join(" or ")}.`, { headers: { allow: allowed.join(", ") } });
}

/** One wide event and one observation per request; neither holds a URL's query, a body or a credential. */
export function record(
  request: FastifyRequest,
  reply: FastifyReply,
  { logger, metrics }: Pick<ListenerOptions, "logger" | "metrics">,
): void {
  const route = request.routeOptions.url ?? "(no route)";
  const durationMs = performance.now() - request.startedAt;
  metrics.observeRequest({ method: request.method, route, status: reply.statusCode, durationSeconds: durationMs / 1000 });
  if (!logger.isLevelEnabled("info")) return;
  const caller = request.authenticatedCaller;
  logger.info(
    {
      request_id: request.requestId,
      client_request_id: request.clientRequestId,
      method: request.method,
      route,
      status: reply.statusCode,
      duration_ms: Math.round(durationMs * 10) / 10,
      caller: caller?.kind,
      caller_id: caller && (caller.kind === "person" ? caller.userId : caller.kind === "key" ? caller.keyId : caller.name),
      organization_id: caller?.kind === "service" ? undefined : caller?.organizationId,
    },
    "request",
  );
}

/** What Node's parser refused never becomes a request; it still gets a problem document. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? [431, "Request Header Fields Too Large"]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? [408, "Request Timeout"]
        : [400, "Bad Request"];
  const body = JSON.stringify({ type: "/problems/malformed_request", title: reason, status, code: "malformed_request" });
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
