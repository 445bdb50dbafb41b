import { type Clock, newUuid } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import type { Probe } from "./built-in-probes.ts";
import { nextState, type ProbeResult } from "./module-state.ts";
import { listModules, type ModuleRow, storeObservation, tryProberLock } from "./modules.store.ts";

interface Needs {
  db: Db;
  clock: Clock;
  logger: Logger;
  probes: Readonly<Record<string, Probe>>;
  intervalMs: number;
  deadlineMs: number;
  failuresBeforeDown: number;
}

export interface Prober {
  /** One round now; false when another replica is at it, or was a moment ago. */
  probeOnce(): Promise<boolean>;
  /** Ends the rounds and waits for the one under way. */
  close(): Promise<void>;
}

/** How soon a module that nobody has seen yet is looked at again: services that start together find each other. */
const firstLookMs = 1000;

/**
 * Looks at every module each `intervalMs`, jittered, outside any request. Over all replicas one prober works at a time. One that
 * was never seen is looked at in between too, and only an answer counts then: a service that still starts is not down.
 */
export function openProber(needs: Needs): Prober {
  const stopped = new AbortController();
  const rounds = (async () => {
    while (!stopped.signal.aborted) {
      const round = await probeRound(needs, stopped.signal).catch((error: unknown) => {
        needs.logger.warn({ err: error }, "module probes failed");
      });
      const usualMs = needs.intervalMs * (0.8 + Math.random() * 0.4);
      await pause(round?.unseen ? Math.min(firstLookMs, usualMs) : usualMs, stopped.signal);
    }
  })();
  return {
    probeOnce: async () => (await probeRound(needs, stopped.signal)).whole,
    close: async () => {
      stopped.abort();
      await rounds;
    },
  };
}

interface Round {
  /** Every module was looked at, and not those alone which nobody has seen yet. */
  whole: boolean;
  /** Some module is still to be seen. */
  unseen: boolean;
}

async function probeRound(needs: Needs, stopped: AbortSignal): Promise<Round> {
  return await inTransaction(needs.db, async (tx) => {
    if (!(await tryProberLock(tx))) return { whole: false, unseen: false };
    const modules = (await listModules(tx)).filter(({ name }) => needs.probes[name]);
    const newest = Math.max(...modules.map((module) => module.checked_at?.getTime() ?? 0));
    const whole = needs.clock.now() - newest >= needs.intervalMs * 0.75;
    const asked = whole ? modules : modules.filter(({ status }) => status === "unknown");
    const results = await Promise.all(asked.map(async (module) => ({ module, result: await probe(needs, module, stopped) })));
    // A round cut short by our own end says nothing about the modules.
    if (stopped.aborted) return { whole: false, unseen: false };
    const at = new Date(needs.clock.now());
    let unseen = false;
    for (const { module, result } of results) {
      if (!result) continue;
      const failed = result.outcome === "failed";
      unseen ||= failed && module.status === "unknown";
      if (whole || !failed) await storeResult(needs, tx, { module, result, at });
    }
    return { whole, unseen };
  });
}

async function probe(needs: Needs, module: ModuleRow, stopped: AbortSignal): Promise<ProbeResult | undefined> {
  const run = needs.probes[module.name];
  if (!run) return undefined;
  const startedAt = performance.now();
  const signal = AbortSignal.any([AbortSignal.timeout(needs.deadlineMs), stopped]);
  try {
    return await Promise.race([run(signal), aborted(signal)]);
  } catch (error) {
    needs.logger.debug({ err: error, module: module.name }, "module probe failed");
    const detail = error instanceof Error ? error.message.slice(0, 200) : "failed";
    const latencyMs = Math.round(performance.now() - startedAt);
    return { outcome: "failed", latencyMs, checks: [{ name: "probe", status: "fail", detail }] };
  }
}

async function storeResult(needs: Needs, tx: Db, seen: { module: ModuleRow; result: ProbeResult; at: Date }): Promise<void> {
  const { module, result, at } = seen;
  const known = { status: module.status, failuresInARow: module.failures_in_a_row };
  const next = nextState(known, result.outcome, needs.failuresBeforeDown);
  await storeObservation(
    tx,
    {
      name: module.name,
      observed: result.outcome === "failed" ? "down" : result.outcome,
      status: next.status,
      changed: next.status !== module.status,
      failuresInARow: next.failuresInARow,
      latencyMs: result.latencyMs,
      version: result.version ?? module.version,
      checks: result.checks,
    },
    { now: at, incidentId: newUuid(at.getTime()) },
  );
}

/** Rejects when the deadline passes, also for a probe that does not look at its signal. */
function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  if (signal.aborted) reject(new Error("no answer in time"));
  signal.addEventListener("abort", () => reject(new Error("no answer in time")), { once: true });
  return promise;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  // A signal that has fired already fires no event.
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
