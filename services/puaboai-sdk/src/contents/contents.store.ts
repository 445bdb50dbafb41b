import type { Db, Tables } from "@nexus/db";
import { type Selectable, sql } from "kysely";

export type StoredContent = Selectable<Tables["request_contents"]>;
export type NewContent = Omit<StoredContent, "created_at">;

const columns = sql.raw(
  "request_id, organization_id, prompt, answer, prompt_bytes, answer_bytes, prompt_cut, answer_cut, streamed",
);

/**
 * Inserts what may be kept when the statement runs: nothing is kept once it was switched off anywhere, whatever this process knows.
 * Of a request that is there already nothing changes. @returns how many rows were inserted
 */
export async function insertContents(db: Db, rows: readonly NewContent[]): Promise<number> {
  const document = JSON.stringify(rows.map(documentOf));
  const result = await sql<{ kept: number }>`
    WITH standing AS (
      SELECT organization_id FROM content_log_settings
      WHERE enabled AND organization_id = ANY(${[...new Set(rows.map((row) => row.organization_id))]}::uuid[])
      ORDER BY organization_id FOR SHARE
    ), inserted AS (
      INSERT INTO request_contents (${columns})
      SELECT request_id, organization_id, decode(prompt, 'base64'), decode(answer, 'base64'), prompt_bytes, answer_bytes,
        prompt_cut, answer_cut, streamed
      FROM jsonb_to_recordset(${document}::jsonb) AS r (request_id uuid, organization_id uuid, prompt text, answer text,
        prompt_bytes bigint, answer_bytes bigint, prompt_cut boolean, answer_cut boolean, streamed boolean)
      JOIN standing USING (organization_id)
      ON CONFLICT (request_id) DO NOTHING RETURNING 1
    )
    SELECT count(*)::integer AS kept FROM inserted`.execute(db);
  return result.rows[0]?.kept ?? 0;
}

function documentOf({ prompt, answer, prompt_bytes: promptBytes, answer_bytes: answerBytes, ...row }: NewContent): object {
  return {
    ...row,
    prompt: prompt?.toString("base64") ?? null,
    answer: answer?.toString("base64") ?? null,
    prompt_bytes: promptBytes.toString(),
    answer_bytes: answerBytes.toString(),
  };
}

/** Kept as long as its organization says now, unless it was erased. */
const stands = sql<boolean>`c.created_at > greatest(coalesce(s.erased_at, '-infinity'), now() - s.retention_days * interval '1 day')`;

/** `undefined` also for what is past its time and not yet deleted. */
export async function findContent(db: Db, requestId: string): Promise<{ content: StoredContent; expiresAt: Date } | undefined> {
  const row = await db
    .selectFrom("request_contents as c")
    .innerJoin("content_log_settings as s", "s.organization_id", "c.organization_id")
    .selectAll("c")
    .select(sql<Date>`c.created_at + s.retention_days * interval '1 day'`.as("expires_at"))
    .where("request_id", "=", requestId)
    .where(stands)
    .executeTakeFirst();
  if (!row) return undefined;
  const { expires_at: expiresAt, ...content } = row;
  return { content, expiresAt };
}

/**
 * Deletes what is past its time, by PostgreSQL's clock. The ids are an array, since PostgreSQL would rather read a whole table than
 * join it with a few hundred of them. @returns how many rows; fewer than the limit: none is left
 */
export async function deletePast(db: Db, limit: number): Promise<number> {
  const result = await sql`
    DELETE FROM request_contents WHERE request_id = ANY(ARRAY(
      SELECT past.request_id FROM content_log_settings s CROSS JOIN LATERAL (
        SELECT c.request_id FROM request_contents c WHERE c.organization_id = s.organization_id AND NOT ${stands}
        ORDER BY c.created_at LIMIT ${limit}
      ) past LIMIT ${limit}
    ))`.execute(db);
  return Number(result.numAffectedRows ?? 0n);
}

/** Deletes what is past its time or erased of one organization, as `deletePast` does. */
export async function deletePastOf(db: Db, organizationId: string, limit: number): Promise<number> {
  const result = await sql`
    DELETE FROM request_contents WHERE request_id = ANY(ARRAY(
      SELECT c.request_id FROM request_contents c JOIN content_log_settings s USING (organization_id)
      WHERE c.organization_id = ${organizationId}::uuid AND NOT ${stands} ORDER BY c.created_at LIMIT ${limit}
    ))`.execute(db);
  return Number(result.numAffectedRows ?? 0n);
}

const deleting = sql.raw("hashtext('nexus.request_contents')");

/** One process at a time deletes; false: another is at it. Held to the end of the transaction. */
export async function tryToDelete(tx: Db): Promise<boolean> {
  const { rows } = await sql<{ free: boolean }>`SELECT pg_try_advisory_xact_lock(${deleting}) AS free`.execute(tx);
  return rows[0]?.free ?? false;
}

/** Waits for who is at it. */
export async function waitToDelete(tx: Db): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(${deleting})`.execute(tx);
}
