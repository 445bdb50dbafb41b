/** One listener's application: how requests come in and how answers and errors go out. Routes are added by others. */
import { isUtf8 } from "node:buffer";
import { createServer, type Server as HttpServer } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { newId, Problem, type RequestId } from "@nexus/core";
import fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import type { Caller, Permission } from "./caller.ts";
import { clientRequestIdOf, type Exchanges, exchangeOf, findExchange } from "./exchange.ts";
import { bodyLeftBy, type FastRoute, type Handler, withFastLane } from "./fast-lane.ts";
import { guardFor } from "./guard.ts";
import { hostFault } from "./host-header.ts";
import { prepareRoute } from "./prepare-route.ts";
import { answerRaw, type ErrorDialect, noteProblem, renderProblem, toProblem } from "./problem-answer.ts";
import { refuseNul } from "./refuse-nul.ts";
import { callerOf } from "./request-context.ts";
import { compileAnswerSchema, compileRequestSchema } from "./request-schema.ts";
import type { App, ServerOptions, Timeouts } from "./server-options.ts";
import { answerUnreadable } from "./unreadable-request.ts";

interface AppOptions {
  listener: "published" | "internal";
  server: ServerOptions;
  exchanges: Exchanges;
  timeouts: Timeouts;
  fastRoutes: ReadonlyMap<string, FastRoute>;
  /** The permission of routes that plugins bring, while they are registered. */
  unnamed(): Permission | undefined;
}

const pathOf = (url: string): string => {
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
};

export function buildApp(options: AppOptions): App {
  const { server, exchanges } = options;
  const dialectOf = (url: string): ErrorDialect | undefined => {
    const path = pathOf(url);
    return server.dialects?.find((dialect) => dialect.matches(path));
  };
  const translate = server.translate?.bind(server);
  const fail = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const exchange = findExchange(request.raw) ?? exchanges.begin(request.raw, reply.raw);
    const problem = toProblem(error, translate);
    noteProblem(exchange, problem);
    const { status, headers, body } = renderProblem(problem, exchange.id, dialectOf(request.raw.url ?? ""));
    // Bytes, as Fastify would add a charset that these media types do not have.
    return reply.code(status).headers(headers).send(Buffer.from(body));
  };
  const app = fastify({
    logger: false,
    bodyLimit: server.bodyLimitBytes ?? 1_048_576,
    trustProxy: server.trustedProxies && server.trustedProxies.length > 0 ? [...server.trustedProxies] : false,
    genReqId: (request) => findExchange(request)?.id ?? newId("request"),
    return503OnClosing: false,
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: (error, request, reply) => void fail(error, request, reply),
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket, { ...server, listener: options.listener, exchanges }),
    serverFactory: (handler) => listener(handler, options, dialectOf),
  }).withTypeProvider<TypeBoxTypeProvider>() as unknown as App;
  app.setValidatorCompiler(compileRequestSchema as Parameters<App["setValidatorCompiler"]>[0]);
  app.setSerializerCompiler(compileAnswerSchema as Parameters<App["setSerializerCompiler"]>[0]);
  app.setErrorHandler(fail);
  app.setNotFoundHandler((request, reply) => answerUnmatched(app, request, reply, fail));
  decorate(app, exchanges);
  app.addHook("preParsing", (request, _reply, payload, done) => done(null, bodyLeftBy(request.raw) ?? payload));
  readBodies(app);
  const rules = { ...options, guardFor: (permission: Permission) => guardFor(permission, server), dialectOf };
  app.addHook("onRoute", (route) => prepareRoute(route, rules));
  return app;
}

function listener(
  handler: (...parts: never[]) => void,
  options: AppOptions,
  dialectOf: (url: string) => ErrorDialect | undefined,
): HttpServer {
  const { exchanges, timeouts, server, fastRoutes } = options;
  const settings = {
    headersTimeout: timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    connectionsCheckingInterval: timeouts.checkMs,
    maxHeaderSize: 16_384,
    // Asked for below, where the refusal can be written as a problem.
    requireHostHeader: false,
  };
  const ordinary: Handler = (request, response) => {
    const exchange = exchanges.begin(request, response);
    const fault = hostFault(request);
    if (fault !== undefined) {
      // Whoever sends it may not agree with us about where it ends (RFC 9112 §11.2): nothing more is read from there.
      const problem = new Problem("malformed_request", fault, { headers: { connection: "close" } });
      answerRaw(exchange, problem, dialectOf(request.url ?? ""));
      return;
    }
    if (!request.url?.startsWith("/")) request.url = originForm(request.url ?? "");
    (handler as Handler)(request, response);
  };
  const entry = withFastLane(ordinary, { ...server, exchanges, routes: fastRoutes });
  // What else a client expects need not be met (RFC 9110 §10.1.1); Node would answer 417, without an id and unseen by the log.
  return createServer(settings, entry).on("checkExpectation", entry);
}

/** A server must take the whole address as well, as proxies are sent it (RFC 9112 §3.2.2). */
function originForm(target: string): string {
  const parsed = /^https?:/i.test(target) ? URL.parse(target) : undefined;
  return parsed ? parsed.pathname + parsed.search : target;
}

function decorate(app: App, exchanges: Exchanges): void {
  app.decorateRequest("requestId", {
    getter(this: FastifyRequest) {
      return this.id as RequestId;
    },
  });
  app.decorateRequest("clientRequestId", {
    getter(this: FastifyRequest) {
      return clientRequestIdOf(this.raw);
    },
  });
  app.decorateRequest("authenticatedCaller", {
    getter(this: FastifyRequest): Caller | undefined {
      return findExchange(this.raw)?.caller;
    },
  });
  app.decorateRequest("caller", {
    getter(this: FastifyRequest): Caller {
      return callerOf(this);
    },
  });
  // Requests injected by tests do not pass the listener.
  app.addHook("onRequest", (request, reply, done) => {
    if (!findExchange(request.raw)) exchanges.begin(request.raw, reply.raw, request.id as RequestId);
    done();
  });
}

function readBodies(app: App): void {
  app.removeAllContentTypeParsers();
  const parser = app.getDefaultJsonParser("error", "error");
  const parseJson = (request: FastifyRequest, text: string, done: (error: Error | null, body?: unknown) => void): void => {
    void parser(request, text, (error, body: unknown) => done(error ?? refuseNul(text, body), body));
  };
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    const bytes = body as Buffer;
    const { rawBody, takesForm } = exchangeOf(request.raw);
    if (isCompressed(request)) done(new Problem("unsupported_media_type", "compressed bodies are not accepted"));
    else if (takesForm) done(new Problem("unsupported_media_type", "Send the body as multipart/form-data."));
    else if (rawBody) done(null, bytes);
    else if (bytes.length === 0) done(null, undefined);
    else if (!isUtf8(bytes)) done(new Problem("malformed_json", "the body is not UTF-8"));
    else parseJson(request, bytes.toString(), done);
  });
  app.addContentTypeParser("multipart/form-data", { parseAs: "buffer" }, (request, body, done) => {
    if (isCompressed(request)) done(new Problem("unsupported_media_type", "compressed bodies are not accepted"));
    else if (exchangeOf(request.raw).takesForm) done(null, body);
    else done(new Problem("unsupported_media_type", "Send the body as application/json."));
  });
}

function isCompressed({ headers }: FastifyRequest): boolean {
  const encoding = headers["content-encoding"];
  return encoding !== undefined && encoding.toLowerCase() !== "identity";
}

/** 405 with `Allow` where the path exists for other methods (RFC 9110 §15.5.6), the methods themselves for OPTIONS, else 404. */
function answerUnmatched(
  app: App,
  request: FastifyRequest,
  reply: FastifyReply,
  fail: (error: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply,
): FastifyReply {
  const url = pathOf(request.raw.url ?? "/");
  const methods = app.supportedMethods.filter((method) => app.findRoute({ method: method, url }) !== null);
  // A route that was there and found nothing, such as a missing file, ends here too.
  if (methods.length === 0 || methods.includes(request.method)) return fail(new Problem("not_found"), request, reply);
  const allow = [...methods, "OPTIONS"].toSorted().join(", ");
  if (request.method === "OPTIONS") return reply.code(204).header("allow", allow).send();
  return fail(new Problem("method_not_allowed", undefined, { headers: { allow } }), request, reply);
}
