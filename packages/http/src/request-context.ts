/** What every request carries: an id that we mint, the caller's own id beside it, and who is calling. */
import { assert, newId, type RequestId } from "@nexus/core";
import type { FastifyRequest } from "fastify";
import type { Caller, PersonCaller, Permission } from "./caller.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Minted here; stands on the answer, in the log, in the audit entry and the usage row. */
    requestId: RequestId;
    /** The caller's `x-request-id`, only kept beside ours. */
    clientRequestId: string | undefined;
    /** Who calls; absent on public routes. */
    authenticatedCaller: Caller | undefined;
    /** `performance.now()` when the head was read. */
    startedAt: number;
  }
  interface FastifyContextConfig {
    permission?: Permission;
    /** The body reaches the handler as a Buffer, unparsed, whatever its content type. */
    rawBody?: boolean;
  }
}

/** The part of an audit entry that tells where a request came from. */
export interface RequestContext {
  request_id: RequestId;
  client_request_id?: string;
  ip: string;
  user_agent?: string;
  trace_id?: string;
  session_id?: string;
  key_id?: string;
}

const printable = /^[\x21-\x7e]{1,128}$/;

/** Sets what `FastifyRequest` promises; the first thing that happens to a request. */
export function beginRequest(request: FastifyRequest): void {
  request.requestId = newId("request");
  request.startedAt = performance.now();
  const presented = request.headers["x-request-id"];
  request.clientRequestId = typeof presented === "string" && printable.test(presented) ? presented : undefined;
}

/** Who calls. Only for routes that are not public. */
export function callerOf(request: FastifyRequest): Caller {
  assert(request.authenticatedCaller, "a public route has no caller");
  return request.authenticatedCaller;
}

/** The person who calls. Only for routes whose permission is `person` or `admin`. */
export function personOf(request: FastifyRequest): PersonCaller {
  const caller = callerOf(request);
  assert(caller.kind === "person", "the route's permission lets others than persons in");
  return caller;
}

const traceparent = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

export function requestContext(request: FastifyRequest): RequestContext {
  const caller = request.authenticatedCaller;
  const trace = traceparent.exec(String(request.headers["traceparent"] ?? ""));
  const userAgent = request.headers["user-agent"]?.slice(0, 512);
  return {
    request_id: request.requestId,
    ...(request.clientRequestId ? { client_request_id: request.clientRequestId } : {}),
    ip: request.ip,
    ...(userAgent ? { user_agent: userAgent } : {}),
    ...(trace ? { trace_id: String(trace[1]) } : {}),
    ...(caller?.kind === "person" ? { session_id: caller.sessionId } : {}),
    ...(caller?.kind === "key" ? { key_id: caller.keyId } : {}),
  };
}
