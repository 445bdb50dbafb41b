/** Every statement of the change feed. */
import type { Db } from "@nexus/db";
import { sql } from "kysely";
import type { Change } from "./change.ts";
import { noteChanges } from "./in-change-transaction.ts";

export interface Verifier {
  verifierId: string;
  service: string;
  node: string;
  blindSeconds: number;
}

/** Committed before the verifier first reads the feed; nothing is applied yet. */
export async function insertLease(db: Db, verifier: Verifier): Promise<void> {
  await sql`
    INSERT INTO verifier_leases (verifier_id, service, node, generation, applied_rev, blind_seconds)
    SELECT ${verifier.verifierId}::uuid, ${verifier.service}, ${verifier.node}, generation, 0, ${verifier.blindSeconds}
    FROM change_counter
    ON CONFLICT (verifier_id) DO NOTHING`.execute(db);
}

export interface News {
  generation: string;
  /** The last revision of the feed. */
  head: number;
  /** What came after the verifier's place, in order; the beginning of it when that is much. */
  changes: Change[];
}

export interface Renewal extends News {
  /** PostgreSQL's time, milliseconds since 1970. */
  now: number;
  /** False: the lease's row is gone and has to be made again. */
  renewed: boolean;
  /** Processes that renewed within `recentSeconds`, this one included. */
  live: number;
}

/** A verifier's place in the feed: everything up to `rev` is applied. */
interface Place {
  generation: string | undefined;
  rev: number | undefined;
}

const mostChanges = 1000;
const recentSeconds = 5;

/** Reads what is new, as one statement: what it says of the feed is one moment of the database. */
export async function readNews(db: Db, at: Place): Promise<News> {
  const { rows } = await sql<Row<News>>`SELECT ${news(at)} FROM change_counter`.execute(db);
  return firstOf(rows);
}

/** The same, and renews the lease in that statement. */
export async function renewLease(db: Db, verifier: Verifier, at: Place): Promise<Renewal> {
  const { rows } = await sql<Row<Renewal>>`
    WITH renewed AS (
      UPDATE verifier_leases
      SET applied_rev = ${at.rev ?? 0}, generation = coalesce(${at.generation ?? null}::uuid, generation),
        renewals = renewals + 1, renewed_at = clock_timestamp()
      WHERE verifier_id = ${verifier.verifierId}::uuid RETURNING 1
    )
    SELECT ${news(at)}, floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now,
      EXISTS (SELECT FROM renewed) AS renewed,
      (SELECT count(*)::int FROM verifier_leases
        WHERE renewed_at > clock_timestamp() - make_interval(secs => ${recentSeconds})) AS live
    FROM change_counter`.execute(db);
  const renewal = firstOf(rows);
  return { ...renewal, live: Math.max(1, renewal.live) };
}

type Row<T extends News> = Omit<T, "head"> & { head: string };

/** Columns of a `News`, of a statement that selects from the change counter. */
function news(at: Place) {
  // Without a place in the feed the head is all that is asked for.
  const from = at.rev ?? Number.MAX_SAFE_INTEGER;
  return sql`generation, rev::text AS head,
    (SELECT coalesce(json_agg(json_build_object('rev', rev, 'kind', kind, 'subjectId', subject_id, 'organizationId', organization_id)
      ORDER BY rev), '[]') FROM (
        SELECT rev, kind, subject_id, organization_id FROM changes
        WHERE rev > ${from} AND rev <= change_counter.rev ORDER BY rev LIMIT ${mostChanges}) AS news) AS changes`;
}

function firstOf<T extends { head: string }>([row]: readonly T[]): Omit<T, "head"> & { head: number } {
  if (!row) throw new Error("assertion failed: the change counter has its row");
  return { ...row, head: Number(row.head) };
}

export async function deleteLease(db: Db, verifierId: string): Promise<void> {
  await db.deleteFrom("verifier_leases").where("verifier_id", "=", verifierId).execute();
}

export interface LeaseRow {
  verifierId: string;
  service: string;
  node: string;
  generation: string;
  appliedRev: number;
  blindSeconds: number;
  renewals: number;
}

export async function listLeases(db: Db): Promise<LeaseRow[]> {
  const rows = await db.selectFrom("verifier_leases").selectAll().execute();
  return rows.map((row) => ({
    verifierId: row.verifier_id,
    service: row.service,
    node: row.node,
    generation: row.generation,
    appliedRev: Number(row.applied_rev),
    blindSeconds: row.blind_seconds,
    renewals: Number(row.renewals),
  }));
}

/** Removes a lease that was not renewed since it was looked at. */
export async function deleteStaleLease(db: Db, lease: { verifierId: string; renewals: number }): Promise<void> {
  await db
    .deleteFrom("verifier_leases")
    .where("verifier_id", "=", lease.verifierId)
    .where("renewals", "=", BigInt(lease.renewals))
    .execute();
}

export async function currentGeneration(db: Db): Promise<string> {
  const { generation } = await db.selectFrom("change_counter").select("generation").executeTakeFirstOrThrow();
  return generation;
}

export interface EndedRow {
  kind: "session" | "user";
  subjectId: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** Sessions that ended and persons that were changed within the last `withinMs`, oldest first; all, or those of these uuids. */
export async function listEnded(db: Db, withinMs: number, only: readonly string[] | null = null): Promise<EndedRow[]> {
  const { rows } = await sql<EndedRow>`
    SELECT kind, subject_id AS "subjectId", max(extract(epoch FROM recorded_at) * 1000)::float8 AS at FROM changes
    WHERE kind IN ('session', 'user') AND recorded_at > now() - make_interval(secs => ${withinMs / 1000})
      AND (${only}::uuid[] IS NULL OR subject_id = ANY (${only}::uuid[]))
    GROUP BY kind, subject_id ORDER BY at`.execute(db);
  return rows;
}

/** Tells every gateway process to look again, where the gateway's role writes. The last statement of its change transaction. */
export async function recordGatewayChange(tx: Db, change: Omit<Change, "rev">): Promise<void> {
  const { kind, subjectId, organizationId } = change;
  const { rows } = await sql<{ rev: bigint }>`
    SELECT record_gateway_change(${kind}, ${subjectId}::uuid, ${organizationId}::uuid) AS rev`.execute(tx);
  noteChanges(tx, [{ ...change, rev: Number(rows[0]?.rev) }]);
}
