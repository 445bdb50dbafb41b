/**
 * One request and its answer, seen at the socket: below the framework, so that malformed requests, unknown paths, streams and
 * hijacked answers are all named, counted and logged in the same way, and draining knows what is still running.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Clock, newId, type ProblemCode, type RequestId, Roster, type Seat } from "@nexus/core";
import type { Logger, Metrics } from "@nexus/telemetry";
import type { Caller } from "./caller.ts";

export interface Exchange {
  readonly id: RequestId;
  readonly startedMs: number;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The pattern of the route; `undefined` when none matched. */
  route: string | undefined;
  /** Probes of balancers and scrapers would drown everything else. */
  quiet: boolean;
  rawBody: boolean;
  takesForm: boolean;
  caller: Caller | undefined;
  problem: ProblemCode | undefined;
  /** The status that was written past the response, when its request broke off. */
  brokenOffStatus: number | undefined;
  /** For the log alone. */
  cause: unknown;
  /** What the feature adds to the request's one log line. */
  fields: Record<string, unknown> | undefined;
}

export interface Exchanges {
  begin(request: IncomingMessage, response: ServerResponse, id?: RequestId): Exchange;
  /** Answers from now on ask their client to close the connection; running ones too where their head is not sent yet. */
  startDraining(): void;
  isDraining(): boolean;
  /**
   * Something is under way that is no exchange yet. The answer ends that, once: `whole` says that all is well, else `onBroken`
   * is called.
   */
  hold(onBroken: () => void): (whole: boolean) => void;
  /** True when nothing runs any more; false when `deadlineMs` passed first. */
  whenIdle(deadlineMs: number): Promise<boolean>;
  running(): readonly Exchange[];
}

const exchangeKey = Symbol("exchange");
type Tagged = IncomingMessage & { [exchangeKey]?: Exchange };

export function findExchange(request: IncomingMessage): Exchange | undefined {
  return (request as Tagged)[exchangeKey];
}

/** @throws Error for a request that did not come through the listener */
export function exchangeOf(request: IncomingMessage): Exchange {
  const exchange = findExchange(request);
  if (!exchange) throw new Error("assertion failed: the request did not come through the listener");
  return exchange;
}

/** The caller's own id: stored beside ours and never trusted, so anything unbounded or unprintable is dropped. */
export function clientRequestIdOf(request: IncomingMessage): string | undefined {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[\x21-\x7e]{1,128}$/.test(given) ? given : undefined;
}

/** W3C Trace Context §3.2.2; a malformed header counts as absent, as the recommendation asks. */
export function traceIdOf(request: Pick<IncomingMessage, "headers">): string | undefined {
  const given = request.headers["traceparent"];
  if (typeof given !== "string" || given.length > 128) return undefined;
  const id = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/.exec(given)?.[1];
  return id === undefined || /^0+$/.test(id) ? undefined : id;
}

interface ExchangesOptions {
  listener: "published" | "internal";
  logger: Logger;
  metrics: Metrics;
  clock: Clock;
}

export function createExchanges(options: ExchangesOptions): Exchanges {
  const running = new Roster<Exchange>();
  let held = 0;
  let draining = false;
  let onIdle: (() => void) | undefined;
  const end = (seat: Seat<Exchange>): void => {
    if (!running.leave(seat)) return;
    report(seat.member, options);
    if (running.size + held === 0) onIdle?.();
  };
  return {
    isDraining: () => draining,
    hold: (onBroken) => {
      let holds = true;
      held++;
      return (whole) => {
        if (!holds) return;
        holds = false;
        held--;
        if (!whole) onBroken();
        // What follows is begun by whoever held, in this turn.
        if (running.size + held === 0 && onIdle) setImmediate(() => running.size + held === 0 && onIdle?.());
      };
    },
    begin: (request, response, id = newId("request")) => {
      const exchange = open(request, response, { id, startedMs: options.clock.monotonic() });
      if (draining) response.setHeader("connection", "close");
      const seat = running.enter(exchange);
      response.once("close", () => end(seat));
      return exchange;
    },
    startDraining: () => {
      draining = true;
      for (const { response } of running.members()) if (!response.headersSent) response.setHeader("connection", "close");
    },
    whenIdle: async (deadlineMs) => {
      if (running.size + held === 0) return true;
      const { promise, resolve } = Promise.withResolvers<void>();
      onIdle = resolve;
      const timer = setTimeout(resolve, deadlineMs);
      await promise;
      clearTimeout(timer);
      onIdle = undefined;
      return running.size + held === 0;
    },
    running: () => running.members(),
  };
}

/** What every answer carries, as names and values in turn: it is for its caller alone, is what it says it is, and is never a page. */
export function answerHeaders(requestId: RequestId): string[] {
  return [
    "x-request-id",
    requestId,
    "cache-control",
    "no-store",
    "x-content-type-options",
    "nosniff",
    "referrer-policy",
    "no-referrer",
    "content-security-policy",
    "default-src 'none'; frame-ancestors 'none'",
  ];
}

function open(request: IncomingMessage, response: ServerResponse, begun: { id: RequestId; startedMs: number }): Exchange {
  const exchange: Exchange = {
    id: begun.id,
    startedMs: begun.startedMs,
    request,
    response,
    route: undefined,
    quiet: false,
    rawBody: false,
    takesForm: false,
    caller: undefined,
    problem: undefined,
    brokenOffStatus: undefined,
    cause: undefined,
    fields: undefined,
  };
  (request as Tagged)[exchangeKey] = exchange;
  const headers = answerHeaders(exchange.id);
  for (let i = 0; i < headers.length; i += 2) response.setHeader(headers[i] ?? "", headers[i + 1] ?? "");
  return exchange;
}

/** Counts the request and writes its one log line: no address, no query, no body, no credential. */
function report(exchange: Exchange, { listener, logger, metrics, clock }: ExchangesOptions): void {
  const { request, response } = exchange;
  const method = request.method ?? "UNKNOWN";
  // 499 is what logs of proxies call a client that went away before it had an answer.
  const status = response.headersSent ? response.statusCode : (exchange.brokenOffStatus ?? 499);
  const route = exchange.route ?? "unmatched";
  const durationMs = clock.monotonic() - exchange.startedMs;
  metrics.observeRequest({ method, route, status, durationSeconds: durationMs / 1000 });
  const level = levelOf(exchange, status);
  if (!logger.isLevelEnabled(level)) return;
  logger[level](
    {
      event: "request",
      request_id: exchange.id,
      client_request_id: clientRequestIdOf(request),
      trace_id: traceIdOf(request),
      listener,
      method,
      route,
      status,
      duration_ms: Math.round(durationMs * 100) / 100,
      // The client left, or we cut it off, before the answer was whole.
      aborted: response.writableFinished ? undefined : true,
      problem: exchange.problem,
      ...callerFields(exchange.caller),
      ...exchange.fields,
      err: exchange.cause,
    },
    "request",
  );
}

function levelOf(exchange: Exchange, status: number): "debug" | "info" | "warn" | "error" {
  if (status >= 500) return exchange.cause === undefined || status === 503 ? "warn" : "error";
  return exchange.quiet && status < 400 ? "debug" : "info";
}

function callerFields(caller: Caller | undefined): Record<string, unknown> {
  if (!caller) return {};
  if (caller.kind === "person") {
    return { caller: "person", user_id: caller.userId, organization_id: caller.organizationId, session_id: caller.sessionId };
  }
  if (caller.kind === "key") return { caller: "key", key_id: caller.keyId, organization_id: caller.organizationId };
  return { caller: "service", caller_service: caller.name };
}
