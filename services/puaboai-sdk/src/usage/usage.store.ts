import type { Db } from "@nexus/db";
import { sql } from "kysely";
import type { Charge } from "../budgets/settle-budgets.ts";
import { sharedJson, withMembers } from "../json/shared-json.ts";
import { countInserted } from "./rollups.store.ts";
import { unitsDocument } from "./units.ts";
import type { UsageRow } from "./usage-row.ts";

/** The columns of a row as they travel, in one JSON parameter: the statement's text is the same for any number of rows. */
const columns =
  sql.raw(`occurred_at timestamptz, request_id uuid, attempt smallint, organization_id uuid, key_id uuid, user_id uuid,
  endpoint text, requested_model text, model text, provider text, upstream_model text, stream boolean, outcome text, http_status smallint, error_code text, failure text, upstream_status smallint,
  input_tokens bigint, output_tokens bigint, cached_input_tokens bigint, cache_write_tokens bigint, reasoning_tokens bigint, units jsonb, usage_source text,
  cost_nanos bigint, account_ids uuid[], budget_decision jsonb, session text, tags text[], reserved_nanos bigint, price jsonb, duration_ms integer, first_byte_ms integer,
  cached_answer boolean, guardrail text, guardrail_action text, client_request_id text, trace_id text`);
const names =
  sql.raw(`occurred_at, request_id, attempt, organization_id, key_id, user_id, endpoint, requested_model, model, provider, upstream_model,
  stream, outcome, http_status, error_code, failure, upstream_status, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, units, usage_source,
  cost_nanos, account_ids, budget_decision, session, tags, reserved_nanos, price, duration_ms, first_byte_ms,
  cached_answer, guardrail, guardrail_action, client_request_id, trace_id`);

/**
 * Inserts the rows that are not there yet; the same ones may come again from a journal.
 * @returns what the new ones cost, by account
 */
export async function insertUsage(db: Db, rows: readonly UsageRow[]): Promise<Map<string, Charge>> {
  const document = `[${rows.map(rowJson).join(",")}]`;
  const charged = rows.some(({ uncovered }) => uncovered) ? partlyCovered : covered;
  const result = await sql<Charge & { id: string }>`
    WITH given AS (
      SELECT * FROM jsonb_to_recordset(${document}::jsonb) AS r(${columns}, uncovered bigint[])
    ), inserted AS (
      INSERT INTO usage_events (${names}) SELECT ${names} FROM given
      ON CONFLICT (occurred_at, request_id, attempt) DO NOTHING
      RETURNING *
    ), ${countInserted}, ${charged}
    SELECT id, sum(cost)::bigint AS cost, sum(covered)::bigint AS covered, bool_or(overran) AS overran FROM charged GROUP BY id`.execute(
    db,
  );
  return new Map(result.rows.map(({ id, ...charge }) => [id, charge]));
}

/** By account, what the new rows cost it. */
const covered = sql.raw(`charged AS (
  SELECT id, cost_nanos AS cost, cost_nanos AS covered, outcome = 'overrun' AS overran
  FROM inserted CROSS JOIN unnest(account_ids) AS id
)`);

/** The same where some rows say that not all of it was set aside. A row that came twice is inserted once. */
const partlyCovered = sql.raw(`said AS (
  SELECT DISTINCT ON (occurred_at, request_id, attempt) occurred_at, request_id, attempt, uncovered FROM given
), charged AS (
  SELECT part.id, cost_nanos AS cost, cost_nanos - coalesce(part.uncovered, 0) AS covered, outcome = 'overrun' AS overran
  FROM inserted JOIN said USING (occurred_at, request_id, attempt)
  CROSS JOIN LATERAL unnest(inserted.account_ids, said.uncovered) AS part (id, uncovered)
)`);

/** Makes the month partition that a row needs; false when its time is too far from now to be true. */
export async function ensureUsagePartition(db: Db, occurredAt: number): Promise<boolean> {
  const result = await sql<{ made: boolean }>`SELECT ensure_usage_partition(${new Date(occurredAt)}) AS made`.execute(db);
  return result.rows[0]?.made ?? false;
}

/** Keeps the partitions of the coming months made. */
export async function ensureMonthPartitions(db: Db): Promise<void> {
  await sql`SELECT ensure_month_partitions()`.execute(db);
}

function rowJson(row: UsageRow): string {
  const { price, budgetDecision } = row;
  return withMembers(
    JSON.stringify(rowDocument(row)),
    `"price":${sharedJson(price)},"budget_decision":${budgetDecision ?? "null"}`,
  );
}

function rowDocument(row: UsageRow): Record<string, unknown> {
  return {
    occurred_at: new Date(row.occurredAt).toISOString(),
    request_id: row.requestId,
    attempt: row.attempt,
    organization_id: row.organizationId,
    key_id: row.keyId,
    user_id: row.userId,
    endpoint: row.endpoint,
    requested_model: row.requestedModel ?? null,
    model: row.model,
    provider: row.provider,
    upstream_model: row.upstreamModel,
    stream: row.stream,
    outcome: row.outcome,
    http_status: row.httpStatus,
    error_code: row.errorCode,
    failure: row.failure ?? null,
    upstream_status: row.upstreamStatus ?? null,
    input_tokens: row.inputTokens,
    output_tokens: row.outputTokens,
    cached_input_tokens: row.cachedInputTokens,
    // A journal of an earlier version does not tell them.
    cache_write_tokens: row.cacheWriteTokens ?? 0,
    reasoning_tokens: row.reasoningTokens,
    units: row.units ? unitsDocument(row.units) : null,
    usage_source: row.usageSource,
    cost_nanos: row.cost.toString(),
    session: row.session,
    tags: row.tags,
    account_ids: row.accountIds,
    reserved_nanos: row.reserved.toString(),
    uncovered: row.uncovered,
    duration_ms: row.durationMs,
    first_byte_ms: row.firstByteMs,
    cached_answer: row.cachedAnswer ?? false,
    guardrail: row.guardrail ?? null,
    guardrail_action: row.guardrailAction ?? null,
    client_request_id: row.clientRequestId,
    trace_id: row.traceId,
  };
}
