import type { IncomingMessage, Server as HttpServer, ServerResponse } from "node:http";
import "@fastify/swagger";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { Clock, Problem, RequestId } from "@nexus/core";
import type { Logger, Metrics } from "@nexus/telemetry";
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Caller, Permission } from "./caller.ts";
import type { FastRoute } from "./fast-lane.ts";
import type { HealthCheck } from "./health.ts";
import type { ErrorDialect } from "./problem-answer.ts";
import type { ServiceTokens } from "./service-tokens.ts";

export type App = FastifyInstance<HttpServer, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

export interface ServiceIdentity {
  name: string;
  version: string;
  commit: string;
  description: string;
}

export interface ServerOptions {
  identity: ServiceIdentity;
  logger: Logger;
  metrics: Metrics;
  clock: Clock;
  /** `undefined`: no credential was presented. Throws `Problem("unauthenticated")` for a bad one. Not asked for `public` routes. */
  authenticate(request: FastifyRequest): Promise<Caller | undefined>;
  health: readonly HealthCheck[] | (() => readonly HealthCheck[]);
  /** Reasons not to take traffic yet, such as missing migrations; empty when ready. Must not count a degraded mode. */
  readiness?(): Promise<readonly string[]>;
  dialects?: readonly ErrorDialect[];
  /** A `Problem` for errors of other packages, such as `unavailable` for a database that is away. */
  translate?(error: unknown): Problem | undefined;
  serviceTokens: ServiceTokens;
  /** Addresses or CIDR blocks whose `X-Forwarded-For` is believed. */
  trustedProxies?: readonly string[];
  /** 1 MiB unless told. */
  bodyLimitBytes?: number;
  /** What a browser gets at `/` instead of JSON. */
  homePage?: HomePage;
  timeouts?: Partial<Timeouts>;
}

/** Answers a browser at `/`; gives false when JSON is wanted. */
export type HomePage = (request: FastifyRequest, reply: FastifyReply) => boolean | Promise<boolean>;

export interface Timeouts {
  /** Until the head of a request must be whole. */
  headersMs: number;
  /** Until the whole request must be in. */
  requestMs: number;
  /** How long an idle connection is kept; longer than balancers keep theirs. */
  keepAliveMs: number;
  /** How often the two first are looked at. */
  checkMs: number;
}

export const defaultTimeouts: Timeouts = {
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 72_000,
  checkMs: 1000,
};

export interface ListenAddress {
  host: string;
  port: number;
  internalHost: string;
  internalPort: number;
}

export interface Server {
  /** The published listener's routes. */
  published: App;
  /** The private listener's routes: for other services and for scrapers. */
  internal: App;
  /** Answers the plain requests of a route before the framework sees them. */
  addFastRoute(listener: "published" | "internal", route: FastRoute): void;
  /** Port 0 takes a free one. @throws the system's error, such as EADDRINUSE; nothing is open then */
  listen(address: ListenAddress): Promise<{ url: string; internalUrl: string }>;
  /**
   * Not ready any more, no new connections, running requests finish within the deadline (10,000 ms unless told),
   * then everything is closed.
   */
  close(deadlineMs?: number): Promise<void>;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may call. A route without one keeps the server from becoming ready. */
    permission?: Permission;
    /** The body arrives as the bytes that were sent (`Buffer`), unparsed and unchecked; the answer may be hijacked. */
    rawBody?: boolean;
    /** With `rawBody`: the body is a form (`multipart/form-data`) and not JSON. */
    takesForm?: boolean;
    /** Logged at debug level while all is well. */
    quiet?: boolean;
  }
  interface FastifyRequest {
    /** Ours: `req_<uuidv7>`. */
    readonly requestId: RequestId;
    /** What the caller sent as `x-request-id`; only ever stored. */
    readonly clientRequestId: string | undefined;
    /** @throws Error on a public route, where nobody is asked */
    readonly caller: Caller;
    /** `undefined` on a public route. */
    readonly authenticatedCaller: Caller | undefined;
  }
}
