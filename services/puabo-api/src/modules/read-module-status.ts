import type { ModuleCheck, ModuleState, ModuleStatus, PlatformStatus, SystemStatus } from "@nexus/contracts/modules";
import { type Clock, Problem, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import { cachedRead } from "./cached-read.ts";
import { worstState } from "./module-state.ts";
import { listIncidents, listModules, readUptime, type UptimeRow } from "./modules.store.ts";

export interface ModuleStatusReader {
  /** One module. @throws Problem `not_found` */
  one(name: string, detailed: boolean): Promise<ModuleStatus>;
  all(detailed: boolean): Promise<PlatformStatus>;
  /** The platform in one line. */
  line(): Promise<SystemStatus>;
}

interface Needs {
  db: Db;
  clock: Clock;
  /** A result older than this says nothing: its prober is dead or paused. */
  staleAfterMs: number;
}

/** Anyone may ask, so the answers come from reads that are shared: the states for a second, the uptimes for a minute. */
export function openModuleStatusReader(needs: Needs): ModuleStatusReader {
  const { clock, db } = needs;
  const readStates = cachedRead({ clock, forMs: () => 1000 }, async () => ({
    rows: await listModules(db),
    incidents: await listIncidents(db),
  }));
  // The first probes of an installation are shown as soon as they are there.
  const readUptimes = cachedRead({ clock, forMs: (rows) => (rows.length === 0 ? 1000 : 60_000) }, () =>
    readUptime(db, new Date(clock.now())),
  );
  const list = async (detailed: boolean): Promise<ModuleStatus[]> => {
    const [{ rows, incidents }, uptimes] = await Promise.all([readStates(), readUptimes()]);
    return rows.map((row) => ({
      module: row.name,
      title: row.title,
      ...stateOf(row, clock.now(), needs.staleAfterMs),
      checked_at: row.checked_at?.toISOString() ?? null,
      latency_ms: row.latency_ms,
      ...(row.version === null ? {} : { version: row.version }),
      uptime: presentUptime(uptimes.find((uptime) => uptime.module === row.name)),
      checks: (row.checks as ModuleCheck[]).map((check) => presentCheck(check, detailed)),
      incidents: incidents
        .filter((incident) => incident.module === row.name)
        .map((incident) => ({
          id: toId("incident", incident.id),
          status: incident.status,
          started_at: incident.started_at.toISOString(),
          ended_at: incident.ended_at?.toISOString() ?? null,
        })),
    }));
  };
  return {
    all: async (detailed) => {
      const modules = await list(detailed);
      return { status: worstState(modules.map((module) => module.status)), modules };
    },
    one: async (name, detailed) => {
      const found = (await list(detailed)).find((module) => module.module === name);
      if (!found) throw new Problem("not_found", "no module has that name");
      return found;
    },
    line: async () => lineOf(await list(false)),
  };
}

interface StateRow {
  status: ModuleState;
  since: Date;
  checked_at: Date | null;
}

function stateOf(row: StateRow, now: number, staleAfterMs: number): { status: ModuleState; since: string } {
  if (row.checked_at === null) return { status: "unknown", since: row.since.toISOString() };
  const staleAt = row.checked_at.getTime() + staleAfterMs;
  if (now > staleAt) return { status: "unknown", since: new Date(staleAt).toISOString() };
  return { status: row.status, since: row.since.toISOString() };
}

function presentCheck(check: ModuleCheck, detailed: boolean): ModuleCheck {
  const { detail, ...shown } = check;
  return detailed && detail !== undefined ? { ...shown, detail } : shown;
}

function presentUptime(row: UptimeRow | undefined): ModuleStatus["uptime"] {
  return { "24h": row?.day ?? null, "7d": row?.week ?? null, "30d": row?.month ?? null, "90d": row?.quarter ?? null };
}

function lineOf(modules: ModuleStatus[]): SystemStatus {
  const status = worstState(modules.map((module) => module.status));
  const affected = modules
    .filter((module) => module.status !== "operational")
    .map((module) => `${module.module} ${module.status}`);
  const times = modules.flatMap((module) => (module.checked_at === null ? [] : [module.checked_at])).toSorted();
  return {
    status,
    message: affected.length === 0 ? `all ${modules.length} modules are operational` : affected.join(", "),
    checked_at: times[0] ?? null,
  };
}
