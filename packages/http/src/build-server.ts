import { type Clock, Problem } from "@nexus/core";
import type { Logger, Metrics } from "@nexus/telemetry";
import type { FastifyRequest } from "fastify";
/** A service's two listeners: the published one, and the private one for other services and the metrics. */
import type { Caller } from "./caller.ts";
import { type App, createListener, type ListenerOptions } from "./create-listener.ts";
import { type HealthCheck, healthReporter } from "./health.ts";
import { addOpenApi } from "./open-api.ts";
import type { ErrorDialect } from "./problem-answer.ts";
import { bearerOf, type ServiceTokens } from "./service-tokens.ts";
import { addSystemRoutes, type HomePage } from "./system-routes.ts";

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
  /** `undefined`: no credential was presented. Throws `unauthenticated` for a bad one. Not asked on public routes. */
  authenticate(request: FastifyRequest): Promise<Caller | undefined>;
  health: readonly HealthCheck[];
  /** Reasons not to take traffic yet, such as missing migrations; empty when ready. */
  readiness?(): Promise<readonly string[]>;
  dialects?: readonly ErrorDialect[];
  /** A `Problem` for errors of other packages, such as `unavailable` for a database that is away. */
  translate?: (error: unknown) => Problem | undefined;
  serviceTokens: ServiceTokens;
  /** Addresses or ranges of proxies whose `X-Forwarded-For` counts. */
  trustedProxies?: readonly string[];
  /** 1 MiB unless told. */
  bodyLimitBytes?: number;
  /** What a browser gets at `/` instead of JSON. */
  homePage?: HomePage;
}

export interface ListenAddress {
  host: string;
  port: number;
  internalHost: string;
  internalPort: number;
}

export interface Server {
  readonly published: App;
  readonly internal: App;
  /** @throws Error with code EADDRINUSE naming the port */
  listen(address: ListenAddress): Promise<{ url: string; internalUrl: string }>;
  /** `/readyz` says 503, running requests may finish within the deadline, then every socket is closed. */
  close(deadlineMs?: number): Promise<void>;
}

export async function buildServer(options: ServerOptions): Promise<Server> {
  const shared: Omit<ListenerOptions, "authenticate"> = {
    logger: options.logger,
    metrics: options.metrics,
    dialects: options.dialects ?? [],
    translate: options.translate ?? (() => undefined),
    bodyLimitBytes: options.bodyLimitBytes ?? 1024 * 1024,
    trustedProxies: options.trustedProxies ?? [],
  };
  const published = createListener({ ...shared, authenticate: (request) => options.authenticate(request) });
  const internal = createListener({ ...shared, authenticate: async (request) => serviceOf(request, options.serviceTokens) });
  const state = { draining: false, listening: false };
  const report = healthReporter({
    checks: options.health,
    identity: options.identity,
    clock: options.clock,
    onFailure: (name, error) => options.logger.warn({ err: error, check: name }, "health check failed"),
  });
  await addOpenApi(published, options.identity);
  addSystemRoutes({ published, internal, options, report, state });
  return {
    published,
    internal,
    listen: async (address) => {
      const [url, internalUrl] = await listenBoth(published, internal, address);
      state.listening = true;
      return { url, internalUrl };
    },
    close: async (deadlineMs = 10_000) => {
      state.draining = true;
      await Promise.all([drain(published, deadlineMs), drain(internal, deadlineMs)]);
    },
  };
}

async function listenBoth(published: App, internal: App, address: ListenAddress): Promise<[string, string]> {
  // Private first: once the published port answers, everything does.
  await internal.listen({ host: address.internalHost, port: address.internalPort });
  await published.listen({ host: address.host, port: address.port });
  return [urlOf(published, address.host), urlOf(internal, address.internalHost)];
}

function urlOf(app: App, host: string): string {
  const bound = app.server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  const name = host === "0.0.0.0" || host === "::" || host === "127.0.0.1" ? "localhost" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

/** Fastify's close waits for running requests for ever; past the deadline their sockets are cut. */
async function drain(app: App, deadlineMs: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), deadlineMs);
  // A connection whose request ends during the drain becomes idle and would be kept alive.
  const sweep = setInterval(() => app.server.closeIdleConnections(), 50);
  try {
    await app.close();
  } finally {
    clearTimeout(cut);
    clearInterval(sweep);
  }
}

function serviceOf(request: FastifyRequest, tokens: ServiceTokens): Caller | undefined {
  const presented = bearerOf(request.headers.authorization);
  if (presented === undefined) return undefined;
  const name = tokens.callerOf(presented);
  if (name === undefined) {
    throw new Problem("unauthenticated", undefined, {
      headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
    });
  }
  return { kind: "service", name };
}
