/** A service's two listeners with everything that all services have in common. */
import type { AddressInfo } from "node:net";
import { buildApp } from "./build-app.ts";
import type { Permission } from "./caller.ts";
import { createExchanges, type Exchanges } from "./exchange.ts";
import type { FastRoute } from "./fast-lane.ts";
import { createHealth } from "./health.ts";
import { addMetricsRoute, addOperationsRoutes, createReadiness, type Stage } from "./operations-routes.ts";
import { addProblemRoutes, addRootRoute } from "./public-routes.ts";
import { addReference } from "./reference.ts";
import { type App, defaultTimeouts, type Server, type ServerOptions, type Timeouts } from "./server-options.ts";
import { refuseForeignPort, sharedPort } from "./several-processes.ts";

interface Listener {
  app: App;
  fastRoutes: Map<string, FastRoute>;
  exchanges: Exchanges;
}

/** Routes are added to `published` and `internal` of the answer before `listen`. */
export async function buildServer(options: ServerOptions): Promise<Server> {
  const timeouts: Timeouts = { ...defaultTimeouts, ...options.timeouts };
  let stage: Stage = "starting";
  let unnamed: Permission | undefined;
  const open = (listener: "published" | "internal"): Listener => {
    const exchanges = createExchanges({ ...options, listener });
    const fastRoutes = new Map<string, FastRoute>();
    const app = buildApp({ listener, server: options, exchanges, timeouts, fastRoutes, unnamed: () => unnamed });
    return { exchanges, fastRoutes, app };
  };
  const published = open("published");
  const internal = open("internal");
  unnamed = "public";
  await addReference(published.app, options.identity);
  unnamed = undefined;
  addRootRoute(published.app, options);
  const onFailure = (error: unknown): void => {
    options.logger.warn({ event: "readiness", err: error }, "readiness could not be found out");
  };
  const operations = {
    health: createHealth({ ...options, checks: options.health }),
    readiness: createReadiness({ ask: options.readiness?.bind(options), clock: options.clock, onFailure }),
    stage: () => stage,
    metrics: options.metrics,
  };
  for (const { app } of [published, internal]) {
    addOperationsRoutes(app, operations);
    addProblemRoutes(app);
  }
  addMetricsRoute(internal.app, options.metrics);
  let closing: Promise<void> | undefined;
  const close = (deadlineMs = 10_000): Promise<void> => {
    stage = "draining";
    closing ??= closeListeners([published, internal], deadlineMs);
    return closing;
  };
  return {
    published: published.app,
    internal: internal.app,
    addFastRoute: (listener, route) => void { published, internal }[listener].fastRoutes.set(route.path, route),
    listen: async ({ host, port, internalHost, internalPort }) => {
      try {
        const internalUrl = await listenOn(internal.app, internalHost, internalPort);
        const url = await listenOn(published.app, host, port);
        if (stage === "starting") stage = "serving";
        return { url, internalUrl };
      } catch (error) {
        await close();
        throw error;
      }
    },
    close,
  };
}

async function listenOn(app: App, host: string, port: number): Promise<string> {
  await app.ready();
  await refuseForeignPort(host, port);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  app.server.once("error", reject);
  app.server.listen({ host, port, ...sharedPort() }, resolve);
  await promise;
  app.server.off("error", reject);
  const address = app.server.address() as AddressInfo;
  // What a person can type: the address bound to may stand for all of them.
  const isLocal = ["127.0.0.1", "::1", "0.0.0.0", "::"].includes(address.address);
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http://${isLocal ? "localhost" : name}:${address.port}`;
}

/** The published listener first; other services may still need the private one to finish what they do. */
async function closeListeners(listeners: readonly Listener[], drainMs: number): Promise<void> {
  const deadline = performance.now() + drainMs;
  for (const { app, exchanges } of listeners) {
    exchanges.startDraining();
    // Stops accepting and closes idle connections; busy ones stay.
    app.server.close();
  }
  await Promise.all(listeners.map(({ exchanges }) => exchanges.whenIdle(Math.max(0, deadline - performance.now()))));
  for (const { app } of listeners) app.server.closeAllConnections();
  // What was cut hears of it before the service goes on to close what it needs to account for it.
  await Promise.all(listeners.map(({ exchanges }) => exchanges.whenIdle(1000)));
  await Promise.all(listeners.map(({ app }) => app.close()));
}
