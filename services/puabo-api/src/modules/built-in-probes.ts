import type { Clock } from "@nexus/core";
import type { Database } from "@nexus/db";
import type { Cache } from "@nexus/redis";
import { probeSessions } from "../sessions/probe-sessions.ts";
import type { ProbeResult } from "./module-state.ts";
import { readAuditState } from "./modules.store.ts";
import { probeService } from "./probe-service.ts";

export type Probe = (signal: AbortSignal) => Promise<ProbeResult>;

interface Needs {
  clock: Clock;
  database: Database;
  cache: Cache;
  keysUrl: string;
  aiUrl: string;
}

/** How each built-in module is looked at; a probe that throws has failed. */
export function builtInProbes(needs: Needs): Readonly<Record<string, Probe>> {
  return {
    auth: async () => await timed("sessions", () => probeSessions({ db: needs.database.db, clock: needs.clock })),
    keys: (signal) => probeService(needs.keysUrl, signal),
    ai: (signal) => probeService(needs.aiUrl, signal),
    database: async (signal) => {
      const ping = await timed("connection", () => needs.database.ping(signal));
      const pending = await needs.database.pendingMigrations();
      const migrations = { name: "migrations", status: pending.length === 0 ? ("pass" as const) : ("warn" as const) };
      return { ...ping, outcome: pending.length === 0 ? "operational" : "degraded", checks: [...ping.checks, migrations] };
    },
    cache: async (signal) => await timed("connection", () => needs.cache.ping(signal)),
    audit: async () => {
      const state = await readAuditState(needs.database.db);
      if (!state.writable || !state.this_month) throw new Error("the audit log cannot be written");
      const base = await timed("log", () => readAuditState(needs.database.db));
      const next = { name: "partitions", status: state.next_month ? ("pass" as const) : ("warn" as const) };
      return { ...base, outcome: state.next_month ? "operational" : "degraded", checks: [...base.checks, next] };
    },
  };
}

async function timed(name: string, work: () => Promise<unknown>): Promise<ProbeResult> {
  const startedAt = performance.now();
  await work();
  const latencyMs = Math.round(performance.now() - startedAt);
  return { outcome: "operational", latencyMs, checks: [{ name, status: "pass", latency_ms: latencyMs }] };
}
