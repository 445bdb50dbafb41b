/** What operators, balancers and scrapers ask of every service. */
import { HealthReport, Liveness, Readiness } from "@nexus/contracts/health";
import type { Clock } from "@nexus/core";
import type { Metrics } from "@nexus/telemetry";
import type { App } from "./server-options.ts";

export type Stage = "starting" | "serving" | "draining";

interface Operations {
  health: () => Promise<HealthReport>;
  readiness: () => Promise<readonly string[]>;
  stage: () => Stage;
  metrics: Metrics;
}

const config = { permission: "public", quiet: true } as const;
const tags = ["operations"];

export function addOperationsRoutes(app: App, operations: Operations): void {
  app.get(
    "/health",
    {
      config,
      schema: {
        summary: "What this service needs and whether it is there",
        tags,
        querystring: anyQuery,
        response: healthAnswers,
      },
    },
    async (_request, reply) => {
      const report = await operations.health();
      const body = Buffer.from(JSON.stringify(report));
      return reply
        .code(report.status === "fail" ? 503 : 200)
        .header("content-type", "application/health+json")
        .send(body as never);
    },
  );
  app.get(
    "/livez",
    { config, schema: { summary: "The process is alive", tags, querystring: anyQuery, response: { 200: Liveness } } },
    () => ({ status: "alive" as const }),
  );
  app.get(
    "/readyz",
    {
      config,
      schema: { summary: "Ready for traffic", tags, querystring: anyQuery, response: { 200: Readiness, 503: Readiness } },
    },
    async (_request, reply) => {
      const stage = operations.stage();
      const reasons = stage === "serving" ? await operations.readiness() : [stage];
      return reply.code(reasons.length > 0 ? 503 : 200).send({ ready: reasons.length === 0, reasons: [...reasons] });
    },
  );
}

/** Monitors and browsers like to add a parameter against caches. */
export const anyQuery = { type: "object" } as const;
const healthAnswers = { 200: HealthReport, 503: HealthReport };

export function addMetricsRoute(app: App, metrics: Metrics): void {
  app.get("/metrics", { config }, async (_request, reply) => {
    return reply.header("content-type", metrics.registry.contentType).send(await metrics.scrape());
  });
}

interface ReadinessOptions {
  ask: (() => Promise<readonly string[]>) | undefined;
  clock: Clock;
  onFailure: (error: unknown) => void;
  deadlineMs?: number;
}

/**
 * The reasons not to be ready, asked at most once a second. When they cannot be found out, the last known answer stands:
 * a dependency that goes away degrades the service, it does not take it out of the balancer.
 */
export function createReadiness({
  ask,
  clock,
  onFailure,
  deadlineMs = 1000,
}: ReadinessOptions): () => Promise<readonly string[]> {
  if (!ask) return async () => [];
  let known: readonly string[] | undefined;
  let pending: Promise<readonly string[]> | undefined;
  let askedMs = Number.NEGATIVE_INFINITY;
  const refresh = async (): Promise<readonly string[]> => {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error("no answer in time")), deadlineMs);
    try {
      known = await Promise.race([ask(), late]);
    } catch (error) {
      onFailure(error);
    } finally {
      clearTimeout(timer);
      askedMs = clock.monotonic();
      pending = undefined;
    }
    return known ?? ["readiness could not be found out"];
  };
  return async () => {
    if (known && clock.monotonic() - askedMs < 1000) return known;
    pending ??= refresh();
    return pending;
  };
}
