/** The usage row of a call, as its account fills it in. */
import { type NanoDollars, uuidOf } from "@nexus/core";
import type { TokenUsage } from "../usage/token-usage.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import type { CallEnd, CallOrigin } from "./call-ledger.ts";

/** The row that stands if this process dies: what is set aside is charged in full. */
export function crashRow(row: UsageRow, bound: TokenUsage): UsageRow {
  if (row.accountIds.length === 0) return { ...row, outcome: "crash" };
  return { ...row, ...tokenColumns(bound), outcome: "crash", usageSource: "bound", cost: row.reserved };
}

export function emptyRow(origin: CallOrigin, now: number): UsageRow {
  const { payer } = origin;
  return {
    occurredAt: now,
    requestId: uuidOf("request", origin.requestId) ?? "",
    attempt: origin.attempt ?? 1,
    organizationId: payer.organizationId,
    keyId: payer.keyId,
    userId: payer.userId,
    endpoint: origin.endpoint,
    requestedModel: null,
    model: "",
    provider: "",
    upstreamModel: "",
    stream: false,
    outcome: "error",
    httpStatus: null,
    errorCode: null,
    failure: null,
    upstreamStatus: null,
    inputTokens: 0,
    outputTokens: 0,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
    units: null,
    usageSource: "none",
    cost: 0n,
    session: payer.session,
    tags: payer.tags,
    accountIds: [],
    budgetDecision: null,
    reserved: 0n,
    price: null,
    durationMs: 0,
    firstByteMs: null,
    clientRequestId: origin.clientRequestId ?? null,
    traceId: origin.traceId ?? null,
  };
}

function tokenColumns(tokens: TokenUsage) {
  return {
    inputTokens: tokens.input,
    outputTokens: tokens.output,
    cachedInputTokens: tokens.cachedInput,
    cacheWriteTokens: tokens.cacheWrite + tokens.cacheWriteHour,
    reasoningTokens: tokens.reasoning,
    units: tokens.units ?? null,
  };
}

export function endColumns(
  { outcome, httpStatus, errorCode, failure, usage }: CallEnd,
  { tokens, charge, reserved }: { tokens: TokenUsage; charge: NanoDollars; reserved: NanoDollars },
): Partial<UsageRow> {
  return {
    outcome: charge > reserved ? "overrun" : outcome,
    httpStatus,
    errorCode: errorCode ?? null,
    failure: failure ?? null,
    ...tokenColumns(tokens),
    usageSource: usage.source,
    cost: charge,
  };
}

/** For the request's one log line. */
export function fieldsOf(row: UsageRow): Record<string, unknown> {
  const { model, provider, outcome, inputTokens, outputTokens, cost, firstByteMs } = row;
  return {
    model,
    provider,
    outcome,
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    cost_nanos: cost.toString(),
    first_byte_ms: firstByteMs ?? undefined,
  };
}
