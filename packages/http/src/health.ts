/** `/health`, `/livez`, `/readyz`: what works, told cheaply and without a secret. Shape: draft-inadarei-api-health-check-06. */
import type { Clock } from "@nexus/core";

export interface HealthCheck {
  /** `component:measurement`, such as `postgresql:connection`. */
  name: string;
  /** Whether the service cannot do its job without it. */
  critical: boolean;
  /** Milliseconds; 1,000 unless told. */
  deadlineMs?: number;
  /** Really asks the dependency. Rejects when it is broken; must stop when the signal fires. */
  probe(signal: AbortSignal): Promise<void>;
}

type Verdict = "pass" | "warn" | "fail";

export interface HealthReport {
  status: Verdict;
  version: string;
  serviceId: string;
  checks: Record<string, { status: Verdict; observedValue: number; observedUnit: "ms"; time: string }[]>;
}

interface HealthOptions {
  checks: readonly HealthCheck[];
  identity: { name: string; version: string };
  clock: Clock;
  /** Hears of each failed probe; its cause must not reach the answer. */
  onFailure: (name: string, error: unknown) => void;
}

const cacheMs = 1000;

/** A function that reports health; reports are shared for a second, and by all who ask at once. */
export function healthReporter(options: HealthOptions): () => Promise<HealthReport> {
  let latest: { at: number; report: Promise<HealthReport> } | undefined;
  return () => {
    const now = options.clock.monotonic();
    if (!latest || now - latest.at >= cacheMs) latest = { at: now, report: runChecks(options) };
    return latest.report;
  };
}

async function runChecks({ checks, identity, clock, onFailure }: HealthOptions): Promise<HealthReport> {
  const results = await Promise.all(
    checks.map(async (check) => {
      const began = clock.monotonic();
      const status = await verdictOf(check, onFailure);
      const observedValue = Math.round(clock.monotonic() - began);
      return [check.name, { status, observedValue, observedUnit: "ms", time: new Date(clock.now()).toISOString() }] as const;
    }),
  );
  const verdicts = results.map(([, result]) => result.status);
  const status = verdicts.includes("fail") ? "fail" : verdicts.includes("warn") ? "warn" : "pass";
  return {
    status,
    version: identity.version,
    serviceId: identity.name,
    checks: Object.fromEntries(results.map(([name, result]) => [name, [result]])),
  };
}

async function verdictOf(check: HealthCheck, onFailure: HealthOptions["onFailure"]): Promise<Verdict> {
  const signal = AbortSignal.timeout(check.deadlineMs ?? 1000);
  const late = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("no answer within the deadline", { cause: signal.reason })), {
      once: true,
    });
  });
  late.catch(() => {});
  try {
    await Promise.race([check.probe(signal), late]);
    return "pass";
  } catch (error) {
    onFailure(check.name, error);
    return check.critical ? "fail" : "warn";
  }
}
