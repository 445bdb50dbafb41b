import type { RequestStory, RequestSummary } from "@nexus/contracts/requests";
import { toId } from "@nexus/core";
import { subjectText } from "../budgets/present-budget.ts";
import { presentUsage, type StoredUsage } from "../usage/present-usage.ts";
import type { AuditEntryRow, ChargedAccount, RequestRow } from "./requests.store.ts";

export function presentRequest(row: RequestRow): RequestSummary {
  return {
    id: toId("request", row.request_id),
    occurred_at: row.occurred_at.toISOString(),
    organization_id: toId("organization", row.organization_id),
    key_id: row.key_id === null ? null : toId("key", row.key_id),
    user_id: row.user_id === null ? null : toId("user", row.user_id),
    session: row.session,
    tags: row.tags,
    endpoint: row.endpoint,
    stream: row.stream,
    requested_model: row.requested_model,
    model: row.model,
    provider: row.provider,
    outcome: row.outcome,
    http_status: row.http_status,
    error_code: row.error_code,
    attempts: row.attempts,
    input_tokens: Number(row.input_tokens),
    output_tokens: Number(row.output_tokens),
    cost_nanos: row.cost_nanos.toString(),
    duration_ms: row.duration_ms,
  };
}

type Attempts = readonly [StoredUsage, ...StoredUsage[]];

/** What the attempts of one request come to. */
function sumAttempts(attempts: Attempts): RequestRow {
  const [first] = attempts;
  const last = attempts.at(-1) ?? first;
  return {
    ...first,
    model: last.model,
    provider: last.provider,
    outcome: last.outcome,
    http_status: last.http_status,
    error_code: last.error_code,
    attempts: attempts.length,
    input_tokens: attempts.reduce((sum, { input_tokens: tokens }) => sum + tokens, 0n),
    output_tokens: attempts.reduce((sum, { output_tokens: tokens }) => sum + tokens, 0n),
    cost_nanos: attempts.reduce((sum, { cost_nanos: cost }) => sum + cost, 0n),
    duration_ms: last.occurred_at.getTime() - first.occurred_at.getTime() + last.duration_ms,
  };
}

interface Story {
  attempts: Attempts;
  accounts: ReadonlyMap<string, ChargedAccount>;
  actors: { keyName: string | null; userName: string | null };
  auditEntries: readonly AuditEntryRow[];
}

export function presentStory({ attempts, accounts, actors, auditEntries }: Story): RequestStory {
  const [first] = attempts;
  return {
    ...presentRequest(sumAttempts(attempts)),
    key_name: actors.keyName,
    user_name: actors.userName,
    client_request_id: first.client_request_id,
    trace_id: first.trace_id,
    attempts: attempts.map((attempt) => ({
      ...presentUsage(attempt),
      started_ms: attempt.occurred_at.getTime() - first.occurred_at.getTime(),
      reserved_nanos: attempt.reserved_nanos.toString(),
      budgets: decisionsOf(attempt).flatMap((decision) => presentDecision(decision, accounts.get(decision.account_id))),
      cached_answer: attempt.cached_answer,
      guardrail: attempt.guardrail,
      guardrail_action: attempt.guardrail_action,
    })),
    audit_entries: auditEntries.map((entry) => ({
      id: toId("event", entry.id),
      recorded_at: entry.recorded_at.toISOString(),
      action: entry.action,
      outcome: entry.outcome,
      actor: entry.actor,
      targets: entry.targets,
    })),
  };
}

/** As the ledger wrote it. */
interface Decision {
  account_id: string;
  limit_nanos: string;
  settled_nanos: string;
  granted_nanos: string;
}

function decisionsOf({ budget_decision: decision }: StoredUsage): readonly Decision[] {
  return (decision as readonly Decision[] | null) ?? [];
}

function presentDecision(decision: Decision, account: ChargedAccount | undefined): RequestStory["attempts"][number]["budgets"] {
  if (!account) return [];
  const hasWindows = account.window_end !== null;
  return [
    {
      budget_id: toId("budget", account.budget_id),
      account_id: decision.account_id,
      level: account.level,
      subject: subjectText(account.level, account.account_subject || account.budget_subject),
      period: account.period,
      enforcement: account.enforcement,
      limit_nanos: decision.limit_nanos,
      settled_nanos: decision.settled_nanos,
      granted_nanos: decision.granted_nanos,
      window_start: hasWindows ? account.window_start.toISOString() : null,
      resets_at: account.window_end?.toISOString() ?? null,
    },
  ];
}
