/** The account of one call: what is set aside for it, written down about it, and charged. */
import { type Clock, type NanoDollars, Problem, type RequestId, uuidOf } from "@nexus/core";
import type { Payer } from "../budgets/budget.ts";
import type { Budgets, Reservation } from "../budgets/budgets.ts";
import type { Model } from "../catalogue/catalogue.ts";
import type { CallMetrics } from "../metrics/call-metrics.ts";
import type { ModelPrice } from "../settings/dated-prices.ts";
import { priceDocument } from "../settings/price-document.ts";
import { type Bound, boundCost, mostOutputWithin, priceOf, withSound } from "../settings/price.ts";
import { noTokens, type TokenUsage } from "../usage/token-usage.ts";
import type { UsageRecorder } from "../usage/usage-recorder.ts";
import { storableText, type UsageRow } from "../usage/usage-row.ts";

export interface LedgerDeps {
  clock: Clock;
  recorder: UsageRecorder;
  budgets: Pick<Budgets, "reserve">;
  measure: Pick<CallMetrics, "ended" | "fellBack">;
}

export interface CallOrigin {
  endpoint: UsageRow["endpoint"];
  payer: Payer;
  requestId: RequestId;
  clientRequestId: string | undefined;
  traceId: string | undefined;
  /** 1 unless told. */
  attempt?: number;
  /** Most of a budget is spent; for the client, before its answer. */
  warn: (warning: string) => void;
}

/** How a call ended. */
export interface CallEnd {
  outcome: "ok" | "error" | "aborted";
  httpStatus: number | null;
  errorCode?: string;
  /** The provider's figures, or ours; `bound`: nobody knows, so the most it can have been; `none`: nothing was consumed. */
  usage: { source: "provider" | "counted"; tokens: TokenUsage } | { source: "bound" | "none" };
}

export interface CallLedger {
  readonly requestId: RequestId;
  /** The client named this model, or this route. */
  asked(model: string, stream: boolean): void;
  routed(model: Model): void;
  /** What the row tells beside, of guardrails and of the cache. */
  note(told: Partial<Pick<UsageRow, "cachedAnswer" | "guardrail" | "guardrailAction">>): void;
  /**
   * Sets aside what the call can cost at most and writes it down: from here on the upstream may be called.
   * @throws Problem `budget_exceeded`, or `unavailable` when neither can be done
   */
  begin(bound: Bound): Promise<void>;
  /** After a budget's refusal: the cap of each answer with which the call would cost so much at most, tokens. */
  outputWithin(amount: NanoDollars): number | undefined;
  firstByte(): void;
  /** Charges the call and writes down how it ended; only the first end counts. Returns what it cost. */
  finish(end: CallEnd): NanoDollars;
  /** The call ends in a refusal or a failure of ours; nothing is charged. */
  refuse(problem: Problem): void;
  isEnded(): boolean;
  /** For the request's one log line. */
  logFields(): Record<string, unknown>;
}

export function openCallLedger(deps: LedgerDeps, origin: CallOrigin): CallLedger {
  const startedAt = deps.clock.monotonic();
  const elapsedMs = () => Math.round(deps.clock.monotonic() - startedAt);
  const row = emptyRow(origin, deps.clock.now());
  // The price that held when the call was routed is what it is charged, whatever holds when it ends.
  let model: { id: string; price: ModelPrice; chosen: Model } | undefined;
  /** When the call went to whoever answers it: from here on it may cost. */
  let sentAt: number | undefined;
  let firstByteAt: number | undefined;
  let bound: Bound = noTokens;
  let reservation: Reservation | undefined;
  let ended = false;

  function close(change: Partial<UsageRow>): void {
    ended = true;
    const endedAt = deps.clock.monotonic();
    Object.assign(row, change, { durationMs: Math.round(endedAt - startedAt) });
    if (model) deps.measure.ended(model.chosen, row, { startedAt, sentAt, firstByteAt, endedAt });
    const uncovered = reservation?.settle(row.cost);
    deps.recorder[sentAt !== undefined || reservation ? "finish" : "refuse"]({ ...row, ...(uncovered && { uncovered }) });
  }

  return {
    requestId: origin.requestId,
    asked(name, stream) {
      row.model = storableText(name, 200);
      row.stream = stream;
    },
    routed(chosen) {
      model = { id: chosen.id, price: chosen.price, chosen };
      if (row.attempt > 1) deps.measure.fellBack(chosen, origin.endpoint);
      Object.assign(row, { model: chosen.id, provider: chosen.provider, upstreamModel: chosen.upstreamModel });
    },
    note: (told) => void Object.assign(row, told),
    async begin(tokens) {
      bound = tokens;
      if (model) reservation = await setAside(deps, origin, row, { bound, ...model });
      await deps.recorder.begin({ ...crashRow(row, bound), durationMs: elapsedMs() });
      sentAt = deps.clock.monotonic();
    },
    outputWithin: (amount) => outputWithin(model?.price, bound, amount),
    firstByte() {
      if (firstByteAt !== undefined) return;
      firstByteAt = deps.clock.monotonic();
      row.firstByteMs = Math.round(firstByteAt - startedAt);
    },
    finish(end) {
      if (ended) return row.cost;
      const tokens = tokensOf(end.usage, sentAt === undefined ? noTokens : bound);
      const charge = chargeOf(model?.price, end, { tokens: withSound(tokens, bound), reserved: row.reserved });
      close(endColumns(end, { tokens, charge, reserved: row.reserved }));
      return charge;
    },
    refuse(problem) {
      if (!ended) close({ outcome: "error", httpStatus: problem.status, errorCode: problem.code, usageSource: "none", cost: 0n });
    },
    isEnded: () => ended,
    logFields: () => fieldsOf(row),
  };
}

function endColumns(
  { outcome, httpStatus, errorCode, usage }: CallEnd,
  { tokens, charge, reserved }: { tokens: TokenUsage; charge: NanoDollars; reserved: NanoDollars },
): Partial<UsageRow> {
  return {
    outcome: charge > reserved ? "overrun" : outcome,
    httpStatus,
    errorCode: errorCode ?? null,
    ...tokenColumns(tokens),
    usageSource: usage.source,
    cost: charge,
  };
}

async function setAside(
  deps: LedgerDeps,
  { payer, requestId, warn }: CallOrigin,
  row: UsageRow,
  { bound, id, price }: { bound: Bound; id: string; price: ModelPrice },
): Promise<Reservation | undefined> {
  if (price === "free") return undefined;
  row.price = price === "unknown" ? { unknown: true } : priceDocument(price);
  const amount = price === "unknown" ? 0n : boundCost(bound, price);
  // What can cost nothing needs nobody's money; counting tokens costs nothing whatever the model costs.
  if (amount === 0n && (price !== "unknown" || bound === noTokens)) return undefined;
  const reservation = await deps.budgets.reserve({ payer, model: id, amount, requestId });
  if (price === "unknown" && reservation.isHard) {
    reservation.settle(0n);
    throw new Problem("price_unknown", `Nobody has said what ${id} costs, so no hard budget can pay for it.`);
  }
  row.accountIds = reservation.accountIds;
  row.budgetDecision = reservation.decision;
  row.reserved = amount;
  if (reservation.warning !== undefined) warn(reservation.warning);
  return reservation;
}

/**
 * A hundred million dollars, the largest default budget: more is a lie or a mistake, which must not overflow the column. A row that
 * PostgreSQL never takes would hold its money for ever.
 */
const dearestCall: NanoDollars = 10n ** 17n;

function outputWithin(price: ModelPrice | undefined, bound: Bound, amount: NanoDollars): number | undefined {
  return price === undefined || typeof price === "string" ? undefined : mostOutputWithin(bound, price, amount);
}

/** Only the provider's own figures may pass what was set aside: that is an overrun. An estimate of ours never does. */
function chargeOf(
  price: ModelPrice | undefined,
  end: CallEnd,
  { tokens, reserved }: { tokens: TokenUsage; reserved: NanoDollars },
): NanoDollars {
  if (price === undefined || typeof price === "string") return 0n;
  if (end.usage.source === "bound") return reserved;
  if (end.usage.source === "none") return 0n;
  const cost = priceOf(tokens, price);
  if (end.usage.source !== "provider" && cost > reserved) return reserved;
  return cost < dearestCall ? cost : dearestCall;
}

function fieldsOf(row: UsageRow): Record<string, unknown> {
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

function tokensOf(usage: CallEnd["usage"], bound: TokenUsage): TokenUsage {
  if ("tokens" in usage) return usage.tokens;
  return usage.source === "bound" ? bound : noTokens;
}

/** The row that stands if this process dies: what is set aside is charged in full. */
function crashRow(row: UsageRow, bound: TokenUsage): UsageRow {
  if (row.accountIds.length === 0) return { ...row, outcome: "crash" };
  return { ...row, ...tokenColumns(bound), outcome: "crash", usageSource: "bound", cost: row.reserved };
}

function emptyRow(origin: CallOrigin, now: number): UsageRow {
  const { payer } = origin;
  return {
    occurredAt: now,
    requestId: uuidOf("request", origin.requestId) ?? "",
    attempt: origin.attempt ?? 1,
    organizationId: payer.organizationId,
    keyId: payer.keyId,
    userId: payer.userId,
    endpoint: origin.endpoint,
    model: "",
    provider: "",
    upstreamModel: "",
    stream: false,
    outcome: "error",
    httpStatus: null,
    errorCode: null,
    ...tokenColumns(noTokens),
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
