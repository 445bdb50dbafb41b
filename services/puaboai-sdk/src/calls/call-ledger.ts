/** The account of one call: what is set aside for it, written down about it, and charged. */
import type { UpstreamTrouble } from "@nexus/contracts/usage";
import { type Clock, type NanoDollars, Problem, type RequestId } from "@nexus/core";
import type { Payer } from "../budgets/budget.ts";
import type { Budgets, Reservation } from "../budgets/budgets.ts";
import { lacksEveryBudget } from "../budgets/refuse-spending.ts";
import type { Model } from "../catalogue/catalogue.ts";
import type { CallMetrics } from "../metrics/call-metrics.ts";
import { troubleIn } from "../proxy/upstream-failure.ts";
import type { ModelPrice } from "../settings/dated-prices.ts";
import { priceDocument } from "../settings/price-document.ts";
import { type Bound, boundCost, mostOutputWithin, priceOf, withSearches, withSound } from "../settings/price.ts";
import { noTokens, type TokenUsage } from "../usage/token-usage.ts";
import type { UsageRecorder } from "../usage/usage-recorder.ts";
import { storableText, type UsageRow } from "../usage/usage-row.ts";
import { crashRow, emptyRow, endColumns, fieldsOf } from "./call-row.ts";

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
  /** What happened at the provider, where that is why. */
  failure?: UpstreamTrouble | undefined;
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
  /** The provider has answered, with this status. */
  answered(status: number): void;
  firstByte(): void;
  /** Charges the call and writes down how it ended; only the first end counts. Returns what it cost. */
  finish(end: CallEnd): NanoDollars;
  /** The same in one write with other calls; resolves when it is written down, which an answer that goes out whole waits for. */
  finishSoon(end: CallEnd): Promise<NanoDollars>;
  /** The call ends in a refusal or a failure of ours; nothing is charged. */
  refuse(problem: Problem): void;
  isEnded(): boolean;
  /** For the request's one log line. */
  logFields(): Record<string, unknown>;
}

export function openCallLedger(deps: LedgerDeps, origin: CallOrigin): CallLedger {
  return new Ledger(deps, origin);
}

/** A class, as there is one for every call: it shares its methods with all others. */
class Ledger implements CallLedger {
  readonly requestId: RequestId;
  readonly #deps: LedgerDeps;
  readonly #origin: CallOrigin;
  readonly #startedAt: number;
  readonly #row: UsageRow;
  // The price that held when the call was routed is what it is charged, whatever holds when it ends.
  #model: { id: string; price: ModelPrice; chosen: Model } | undefined;
  /** When the call went to whoever answers it: from here on it may cost. */
  #sentAt: number | undefined;
  #firstByteAt: number | undefined;
  #bound: Bound = noTokens;
  #reservation: Reservation | undefined;
  #ended = false;

  constructor(deps: LedgerDeps, origin: CallOrigin) {
    this.requestId = origin.requestId;
    this.#deps = deps;
    this.#origin = origin;
    this.#startedAt = deps.clock.monotonic();
    this.#row = emptyRow(origin, deps.clock.now());
  }

  asked(name: string, stream: boolean): void {
    const named = storableText(name, 200);
    this.#row.requestedModel = named === "" ? null : named;
    this.#row.model = named;
    this.#row.stream = stream;
  }

  routed(chosen: Model): void {
    const row = this.#row;
    this.#model = { id: chosen.id, price: chosen.price, chosen };
    if (row.attempt > 1) this.#deps.measure.fellBack(chosen, this.#origin.endpoint);
    row.model = chosen.id;
    row.provider = chosen.provider;
    row.upstreamModel = chosen.upstreamModel;
  }

  note(told: Parameters<CallLedger["note"]>[0]): void {
    Object.assign(this.#row, told);
  }

  async begin(bound: Bound): Promise<void> {
    const { clock, recorder } = this.#deps;
    this.#bound = bound;
    const aside = this.#model && setAside(this.#deps, this.#origin, this.#row, { bound, ...this.#model });
    // The usual call does not even wait for the next turn.
    this.#reservation = aside instanceof Promise ? await aside : aside;
    this.#row.durationMs = Math.round(clock.monotonic() - this.#startedAt);
    await recorder.begin(crashRow(this.#row, bound));
    this.#sentAt = clock.monotonic();
  }

  outputWithin(amount: NanoDollars): number | undefined {
    return outputWithin(this.#model?.price, this.#bound, amount);
  }

  answered(status: number): void {
    this.#row.upstreamStatus = status;
  }

  firstByte(): void {
    if (this.#firstByteAt !== undefined) return;
    this.#firstByteAt = this.#deps.clock.monotonic();
    this.#row.firstByteMs = Math.round(this.#firstByteAt - this.#startedAt);
  }

  finish(end: CallEnd): NanoDollars {
    if (!this.#ended) {
      this.#close(this.#columnsOf(end));
      this.#record();
    }
    return this.#row.cost;
  }

  async finishSoon(end: CallEnd): Promise<NanoDollars> {
    if (!this.#ended) {
      this.#close(this.#columnsOf(end));
      const { cost, reserved } = this.#row;
      // Only of an overrun the row must tell what settling it says.
      if (cost > reserved) this.#record();
      else await this.#recordSoon();
    }
    return this.#row.cost;
  }

  refuse(problem: Problem): void {
    if (this.#ended) return;
    const { status, code } = problem;
    const failure = troubleIn(problem) ?? null;
    this.#close({ outcome: "error", httpStatus: status, errorCode: code, failure, usageSource: "none", cost: 0n });
    this.#record();
  }

  isEnded(): boolean {
    return this.#ended;
  }

  logFields(): Record<string, unknown> {
    return fieldsOf(this.#row);
  }

  #columnsOf(end: CallEnd): Partial<UsageRow> {
    const { reserved } = this.#row;
    const known = tokensOf(end.usage, this.#sentAt === undefined ? noTokens : this.#bound);
    const price = this.#model?.price;
    // What was counted here says nothing of what the provider did beside writing.
    const isUntold = end.usage.source === "counted" && reserved > 0n && typeof price === "object";
    const tokens = isUntold ? withSearches(known, price) : known;
    const charge = chargeOf(price, end, { tokens: withSound(tokens, this.#bound), reserved });
    return endColumns(end, { tokens, charge, reserved });
  }

  #close(change: Partial<UsageRow>): void {
    const row = this.#row;
    const endedAt = this.#deps.clock.monotonic();
    this.#ended = true;
    Object.assign(row, change);
    row.durationMs = Math.round(endedAt - this.#startedAt);
    const times = { startedAt: this.#startedAt, sentAt: this.#sentAt, firstByteAt: this.#firstByteAt, endedAt };
    if (this.#model) this.#deps.measure.ended(this.#model.chosen, row, times);
  }

  #record(): void {
    const wasBegun = this.#sentAt !== undefined || this.#reservation !== undefined;
    const uncovered = this.#reservation?.settle(this.#row.cost);
    this.#deps.recorder[wasBegun ? "finish" : "refuse"]({ ...this.#row, ...(uncovered && { uncovered }) });
  }

  async #recordSoon(): Promise<void> {
    await this.#deps.recorder.finishSoon({ ...this.#row });
    // Not earlier: if this process died before the write, all that was set aside would be charged.
    this.#reservation?.settle(this.#row.cost);
  }
}

function setAside(
  deps: LedgerDeps,
  { payer, requestId, warn }: CallOrigin,
  row: UsageRow,
  { bound, id, price }: { bound: Bound; id: string; price: ModelPrice },
): Reservation | Promise<Reservation> | undefined {
  if (price === "free") return undefined;
  row.price = price === "unknown" ? { unknown: true } : priceDocument(price);
  const amount = price === "unknown" ? 0n : boundCost(bound, price);
  // What can cost nothing needs nobody's money; counting tokens costs nothing whatever the model costs.
  if (amount === 0n && (price !== "unknown" || bound === noTokens)) return undefined;
  const tell = (reservation: Reservation): Reservation => {
    if (price === "unknown" && reservation.isHard) {
      reservation.settle(0n);
      throw unpriced(id);
    }
    row.accountIds = reservation.accountIds;
    row.budgetDecision = reservation.decision;
    row.reserved = amount;
    if (reservation.warning !== undefined) warn(reservation.warning);
    return reservation;
  };
  const reserved = deps.budgets.reserve({ payer, model: id, amount, requestId });
  if (!(reserved instanceof Promise)) return tell(reserved);
  return reserved.then(tell, (error: unknown) => {
    // A budget alone would not help: it is the price that is missing.
    throw price === "unknown" && lacksEveryBudget(error) ? unpriced(id) : error;
  });
}

function unpriced(model: string): Problem {
  return new Problem("price_unknown", `Nobody has said what ${model} costs, so no hard budget can pay for it.`);
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

function tokensOf(usage: CallEnd["usage"], bound: TokenUsage): TokenUsage {
  if ("tokens" in usage) return usage.tokens;
  return usage.source === "bound" ? bound : noTokens;
}
