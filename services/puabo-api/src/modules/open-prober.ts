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

/** Looks at every module each `intervalMs`, jittered, outside any request. Over all replicas one prober works at a time. */
export function openProber(needs: Needs): Prober {
  const stopped = new AbortController();
  const rounds = (async () => {
    while (!stopped.signal.aborted) {
      await probeOnce(needs, stopped.signal).catch((error: unknown) => needs.logger.warn({ err: error }, "module probes failed"));
      await pause(needs.intervalMs * (0.8 + Math.random() * 0.4), stopped.signal);
    }
  })();
  return {
    probeOnce: () => probeOnce(needs, stopped.signal),
    close: async () => {
      stopped.abort();
      await rounds;
    },
  };
}

async function probeOnce(needs: Needs, stopped: AbortSignal): Promise<boolean> {
  return await inTransaction(needs.db, async (tx) => {
    if (!(await tryProberLock(tx))) return false;
    const modules = await listModules(tx);
    const now = needs.clock.now();
    const newest = Math.max(...modules.map((module) => module.checked_at?.getTime() ?? 0));
    if (now - newest < needs.intervalMs * 0.75) return false;
    const results = await Promise.all(modules.map(async (module) => ({ module, result: await probe(needs, module, stopped) })));
    // A round cut short by our own end says nothing about the modules.
    if (stopped.aborted) return false;
    const at = new Date(needs.clock.now());
    for (const { module, result } of results) {
      if (result) await storeResult(needs, tx, { module, result, at });
    }
    return true;
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
