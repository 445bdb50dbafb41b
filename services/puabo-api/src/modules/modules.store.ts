import type { ModuleCheck, ModuleState } from "@nexus/contracts/modules";
import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** True for the one prober that may work now; the others come back at the next round. Held until the transaction ends. */
export async function tryProberLock(tx: Db): Promise<boolean> {
  // A prober that is paused in the middle must not keep the place for ever: PostgreSQL ends its transaction.
  await sql`SET LOCAL idle_in_transaction_session_timeout = '15s'`.execute(tx);
  const { rows } = await sql<{
    locked: boolean;
  }>`SELECT pg_try_advisory_xact_lock(hashtext('nexus.module_prober')) AS locked`.execute(tx);
  return rows[0]?.locked === true;
}

export async function listModules(db: Db) {
  return await db.selectFrom("modules").selectAll().orderBy("name").execute();
}

export type ModuleRow = Awaited<ReturnType<typeof listModules>>[number];

interface Observation {
  name: string;
  observed: "operational" | "degraded" | "down";
  status: ModuleState;
  changed: boolean;
  failuresInARow: number;
  latencyMs: number;
  version: string | null;
  checks: ModuleCheck[];
}

/** The row of now, the row of history, and the incident that begins or ends with it. */
export async function storeObservation(tx: Db, seen: Observation, at: { now: Date; incidentId: string }): Promise<void> {
  await tx
    .updateTable("modules")
    .set({
      status: seen.status,
      checked_at: at.now,
      latency_ms: seen.latencyMs,
      version: seen.version,
      failures_in_a_row: seen.failuresInARow,
      checks: JSON.stringify(seen.checks),
      ...(seen.changed ? { since: at.now } : {}),
    })
    .where("name", "=", seen.name)
    .execute();
  await tx
    .insertInto("module_checks")
    .values({ checked_at: at.now, module: seen.name, status: seen.observed, latency_ms: seen.latencyMs })
    .execute();
  if (!seen.changed) return;
  await tx
    .updateTable("module_incidents")
    .set({ ended_at: at.now })
    .where("module", "=", seen.name)
    .where("ended_at", "is", null)
    .execute();
  if (seen.status !== "degraded" && seen.status !== "down") return;
  await tx
    .insertInto("module_incidents")
    .values({ id: at.incidentId, module: seen.name, status: seen.status, started_at: at.now })
    .execute();
}

/** The newest incidents of every module, at most ten each. */
export async function listIncidents(db: Db) {
  return await db
    .selectFrom("modules as m")
    .innerJoinLateral(
      (eb) =>
        eb
          .selectFrom("module_incidents as i")
          .select(["i.id", "i.status", "i.started_at", "i.ended_at"])
          .whereRef("i.module", "=", "m.name")
          .orderBy("i.started_at", "desc")
          .limit(10)
          .as("incident"),
      (join) => join.onTrue(),
    )
    .select(["m.name as module", "incident.id", "incident.status", "incident.started_at", "incident.ended_at"])
    .execute();
}

export interface UptimeRow {
  module: string;
  day: number | null;
  week: number | null;
  month: number | null;
  quarter: number | null;
}

/** Share of the probes of the last 24 hours, 7, 30 and 90 days that found each module doing its job. */
export async function readUptime(db: Db, now: Date): Promise<UptimeRow[]> {
  const { rows } = await sql<UptimeRow>`
    SELECT module,
      avg((status <> 'down')::int) FILTER (WHERE checked_at > ${now}::timestamptz - interval '1 day')::float8 AS day,
      avg((status <> 'down')::int) FILTER (WHERE checked_at > ${now}::timestamptz - interval '7 days')::float8 AS week,
      avg((status <> 'down')::int) FILTER (WHERE checked_at > ${now}::timestamptz - interval '30 days')::float8 AS month,
      avg((status <> 'down')::int)::float8 AS quarter
    FROM module_checks WHERE checked_at > ${now}::timestamptz - interval '90 days' GROUP BY module`.execute(db);
  return rows;
}

/** How the audit log stands: whether this month and the next have a partition, and whether we may write. */
export async function readAuditState(db: Db): Promise<{ this_month: boolean; next_month: boolean; writable: boolean }> {
  const { rows } = await sql<{ this_month: boolean; next_month: boolean; writable: boolean }>`
    SELECT to_regclass('public.audit_log_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')) IS NOT NULL AS this_month,
      to_regclass('public.audit_log_' || to_char((now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYYMM')) IS NOT NULL AS next_month,
      has_table_privilege('audit_log', 'INSERT') AND has_table_privilege('audit_inbox', 'INSERT') AS writable`.execute(db);
  return rows[0] ?? { this_month: false, next_month: false, writable: false };
}

export async function ensureMonthPartitions(db: Db): Promise<void> {
  await sql`SELECT ensure_month_partitions()`.execute(db);
}
