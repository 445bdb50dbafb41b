import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";
import type { StoredUsage } from "../usage/present-usage.ts";

/** Ids are uuids. An absent filter lets every request through. */
export interface RequestFilter {
  organizationId: string | undefined;
  keyId: string | undefined;
  userId: string | undefined;
  model: string | undefined;
  provider: string | undefined;
  outcome: string | undefined;
  session: string | undefined;
  tag: string | undefined;
  minCost: NanoDollars | undefined;
  from: Date;
  to: Date;
}

/** A request with what its attempts come to; its last attempt says how it ended. */
export interface RequestRow {
  request_id: string;
  occurred_at: Date;
  organization_id: string;
  key_id: string | null;
  user_id: string | null;
  session: string | null;
  tags: string[];
  endpoint: string;
  stream: boolean;
  requested_model: string | null;
  model: string;
  provider: string;
  outcome: string;
  http_status: number | null;
  error_code: string | null;
  attempts: number;
  input_tokens: bigint;
  output_tokens: bigint;
  cost_nanos: bigint;
  duration_ms: number;
}

/** No attempt begins later than that after its request. */
const longest = sql`interval '2 hours'`;

/** Newest first, from a position on. */
export async function listRequests(
  db: Db,
  filter: RequestFilter,
  page: { limit: number; after: { createdAt: Date; id: string } | undefined },
): Promise<RequestRow[]> {
  const when = <T>(value: T | undefined, condition: (given: T) => ReturnType<typeof sql>) =>
    value === undefined ? sql`` : sql` AND ${condition(value)}`;
  const { rows } = await sql<RequestRow>`
    SELECT first.request_id, first.occurred_at, first.organization_id, first.key_id, first.user_id, first.session, first.tags,
      first.endpoint, first.stream, first.requested_model, last.model, last.provider, last.outcome, last.http_status, last.error_code, whole.attempts,
      whole.input_tokens, whole.output_tokens, whole.cost_nanos,
      (extract(epoch FROM last.occurred_at - first.occurred_at) * 1000)::integer + last.duration_ms AS duration_ms
    FROM usage_events first
    CROSS JOIN LATERAL (
      SELECT count(*)::integer AS attempts, sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
        sum(cost_nanos)::bigint AS cost_nanos, array_agg(model) AS models, array_agg(provider) AS providers
      FROM usage_events a WHERE a.request_id = first.request_id
        AND a.occurred_at BETWEEN first.occurred_at AND first.occurred_at + ${longest}
    ) whole
    CROSS JOIN LATERAL (
      SELECT * FROM usage_events a WHERE a.request_id = first.request_id
        AND a.occurred_at BETWEEN first.occurred_at AND first.occurred_at + ${longest}
      ORDER BY attempt DESC LIMIT 1
    ) last
    WHERE first.attempt = 1 AND first.occurred_at >= ${filter.from} AND first.occurred_at < ${filter.to}
      ${when(filter.organizationId, (id) => sql`first.organization_id = ${id}::uuid`)}
      ${when(filter.keyId, (id) => sql`first.key_id = ${id}::uuid`)}
      ${when(filter.userId, (id) => sql`first.user_id = ${id}::uuid`)}
      ${when(filter.session, (name) => sql`first.session = ${name}`)}
      ${when(filter.tag, (tag) => sql`first.tags @> ARRAY[${tag}]`)}
      ${when(filter.model, (model) => sql`(first.requested_model = ${model} OR ${model} = ANY(whole.models))`)}
      ${when(filter.provider, (provider) => sql`${provider} = ANY(whole.providers)`)}
      ${when(filter.outcome, (outcome) => sql`last.outcome = ${outcome}`)}
      ${when(filter.minCost, (cost) => sql`whole.cost_nanos >= ${cost}`)}
      ${when(page.after, ({ createdAt, id }) => sql`(first.occurred_at, first.request_id) < (${createdAt}, ${id}::uuid)`)}
    ORDER BY first.occurred_at DESC, first.request_id DESC LIMIT ${page.limit}`.execute(db);
  return rows;
}

/** The attempts of a request in their order; of another organization or key they are not there. */
export async function findAttempts(
  db: Db,
  of: { requestId: string; organizationId: string | undefined; keyId: string | undefined },
): Promise<StoredUsage[]> {
  let query = db.selectFrom("usage_events").selectAll().where("request_id", "=", of.requestId).orderBy("attempt").limit(100);
  if (of.organizationId !== undefined) query = query.where("organization_id", "=", of.organizationId);
  if (of.keyId !== undefined) query = query.where("key_id", "=", of.keyId);
  return await query.execute();
}

/** Names of a key and a person; `null` where there is none any more. */
export async function findActors(
  db: Db,
  { keyId, userId }: { keyId: string | null; userId: string | null },
): Promise<{ keyName: string | null; userName: string | null }> {
  const { rows } = await sql<{ keyName: string | null; userName: string | null }>`
    SELECT key_name AS "keyName", user_name AS "userName" FROM request_actors(${keyId}::uuid, ${userId}::uuid)`.execute(db);
  return rows[0] ?? { keyName: null, userName: null };
}

export interface AuditEntryRow {
  id: string;
  recorded_at: Date;
  action: string;
  outcome: string;
  actor: Record<string, unknown>;
  targets: unknown[];
}

export async function findAuditEntries(
  db: Db,
  of: { requestId: string; organizationId: string; since: Date; until: Date },
): Promise<AuditEntryRow[]> {
  const { rows } = await sql<AuditEntryRow>`
    SELECT * FROM request_audit_entries(${of.requestId}, ${of.organizationId}::uuid, ${of.since}, ${of.until})`.execute(db);
  return rows;
}

/** The accounts that attempts are charged to, with their budgets, by the account's id. */
export async function findAccounts(db: Db, ids: readonly string[]) {
  if (ids.length === 0) return new Map<string, never>();
  const rows = await db
    .selectFrom("budget_accounts")
    .innerJoin("budgets", "budgets.id", "budget_accounts.budget_id")
    .select(["budget_accounts.id", "budget_id", "level", "period", "enforcement", "window_start", "window_end"])
    .select(["budget_accounts.subject as account_subject", "budgets.subject as budget_subject"])
    .where("budget_accounts.id", "in", ids)
    .execute();
  return new Map(rows.map((row) => [row.id, row]));
}
export type ChargedAccount = NonNullable<ReturnType<Awaited<ReturnType<typeof findAccounts>>["get"]>>;
