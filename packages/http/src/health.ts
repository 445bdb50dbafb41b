/** What the service needs and whether it is there: `GET /health`. */
import type { HealthEntry, HealthReport, HealthStatus } from "@nexus/contracts/health";
import type { Clock } from "@nexus/core";
import type { Logger } from "@nexus/telemetry";
import type { ServiceIdentity } from "./server-options.ts";

export interface HealthCheck {
  /** `postgresql:connection`: the dependency and what is looked at. */
  name: string;
  /** True when the service cannot do its job without it; false: it is degraded. */
  critical: boolean;
  /** How it is, in words, where there is something to tell. Rejects when the dependency is broken; `Degraded` says how publicly. */
  probe(signal: AbortSignal): Promise<string | void>;
  /** 1,000 unless told. */
  deadlineMs?: number;
}

/** A dependency is broken in a way that everybody may read: the message holds no host, user or secret. */
export class Degraded extends Error {
  override readonly name = "Degraded";
}

interface HealthOptions {
  identity: ServiceIdentity;
  /** A function where what is needed changes while the service runs. */
  checks: readonly HealthCheck[] | (() => readonly HealthCheck[]);
  clock: Clock;
  logger: Logger;
  /** 1,000 unless told. */
  cacheMs?: number;
}

/** How every dependency is, asked anew at most once in `cacheMs` however many ask. */
export function createHealth(options: HealthOptions): () => Promise<HealthReport> {
  const cacheMs = options.cacheMs ?? 1000;
  const last = new Map<string, HealthStatus>();
  let cached: { report: Promise<HealthReport>; untilMs: number } | undefined;
  return () => {
    const now = options.clock.monotonic();
    if (cached && now < cached.untilMs) return cached.report;
    // Until the probes are through everybody waits for the same ones.
    const asked = { report: askAll(options, last), untilMs: Number.POSITIVE_INFINITY };
    cached = asked;
    void asked.report.finally(() => {
      asked.untilMs = options.clock.monotonic() + cacheMs;
    });
    return asked.report;
  };
}

async function askAll(options: HealthOptions, last: Map<string, HealthStatus>): Promise<HealthReport> {
  const { identity, clock } = options;
  const checks = typeof options.checks === "function" ? options.checks() : options.checks;
  const answers = await Promise.all(checks.map((check) => ask(check, clock)));
  for (const { check, entry, cause } of answers) {
    if (last.get(check.name) !== entry.status && (last.has(check.name) || entry.status !== "pass")) {
      // The reason is for the log alone: it may name hosts, users and tables.
      options.logger.warn({ event: "health", dependency: check.name, status: entry.status, err: cause }, "health");
    }
    last.set(check.name, entry.status);
  }
  return {
    status: overall(answers),
    version: identity.version,
    releaseId: identity.commit,
    serviceId: identity.name,
    description: identity.description,
    checks: Object.fromEntries(answers.map(({ check, entry }) => [check.name, [entry]])),
  };
}

interface Answer {
  check: HealthCheck;
  entry: HealthEntry;
  cause: unknown;
}

async function ask(check: HealthCheck, clock: Clock): Promise<Answer> {
  const started = clock.monotonic();
  const deadlineMs = check.deadlineMs ?? 1000;
  const aborter = new AbortController();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const reason = new Error(`no answer within ${deadlineMs} ms`);
    aborter.abort(reason);
    reject(reason);
  }, deadlineMs);
  let cause: unknown;
  let output: string | void = undefined;
  try {
    // The race holds even for a probe that does not listen to its signal.
    output = await Promise.race([check.probe(aborter.signal), late]);
  } catch (error) {
    if (error instanceof Degraded) output = error.message;
    cause = error ?? new Error("the probe failed without a reason");
  } finally {
    clearTimeout(timer);
  }
  const status = cause === undefined ? "pass" : check.critical ? "fail" : "warn";
  const observedValue = Math.round((clock.monotonic() - started) * 100) / 100;
  const time = new Date(clock.now()).toISOString();
  return { check, entry: { status, observedValue, observedUnit: "ms", time, ...(output && { output }) }, cause };
}

function overall(answers: readonly Answer[]): HealthStatus {
  const found = new Set(answers.map(({ entry }) => entry.status));
  return (["fail", "warn"] as const).find((status) => found.has(status)) ?? "pass";
}
