/** What features ask about the request at hand. */
import type { RequestId } from "@nexus/core";
import type { FastifyRequest } from "fastify";
import type { Caller, PersonCaller } from "./caller.ts";
import { clientRequestIdOf, exchangeOf, traceIdOf } from "./exchange.ts";

/** The circumstances of a request, as an audit entry keeps them. */
export interface RequestContext {
  request_id: RequestId;
  client_request_id?: string;
  ip: string;
  user_agent?: string;
  trace_id?: string;
  session_id?: string;
  key_id?: string;
}

/** @throws Error on a public route */
export function callerOf(request: FastifyRequest): Caller {
  const { caller } = exchangeOf(request.raw);
  if (!caller) throw new Error("assertion failed: a public route asked who is calling");
  return caller;
}

/** @throws Error unless the route's permission is `person` or `admin` */
export function personOf(request: FastifyRequest): PersonCaller {
  const caller = callerOf(request);
  if (caller.kind !== "person") throw new Error("assertion failed: the route let a caller in who is no person");
  return caller;
}

export function requestContext(request: FastifyRequest): RequestContext {
  const exchange = exchangeOf(request.raw);
  const context: RequestContext = { request_id: exchange.id, ip: request.ip };
  const clientRequestId = clientRequestIdOf(request.raw);
  if (clientRequestId !== undefined) context.client_request_id = clientRequestId;
  const userAgent = request.headers["user-agent"];
  // 512: enough for any browser, too little to fill a table.
  if (userAgent !== undefined) context.user_agent = userAgent.slice(0, 512);
  const traceId = traceIdOf(request.raw);
  if (traceId !== undefined) context.trace_id = traceId;
  if (exchange.caller?.kind === "person") context.session_id = exchange.caller.sessionId;
  if (exchange.caller?.kind === "key") context.key_id = exchange.caller.keyId;
  return context;
}

/** Who changes something, and in what circumstances: what its audit entry tells. */
export interface ChangedBy {
  caller: PersonCaller;
  context: RequestContext;
}

/** @throws Error unless the route's permission is `person` or `admin` */
export function changedBy(request: FastifyRequest): ChangedBy {
  return { caller: personOf(request), context: requestContext(request) };
}

/** Adds fields to the request's one log line. */
export function addLogFields(request: FastifyRequest, fields: Record<string, unknown>): void {
  const exchange = exchangeOf(request.raw);
  exchange.fields = { ...exchange.fields, ...fields };
}
