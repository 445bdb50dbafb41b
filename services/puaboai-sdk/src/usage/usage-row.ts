import type { UpstreamTrouble } from "@nexus/contracts/usage";
import type { NanoDollars } from "@nexus/core";
import { sharedJson, withMembers } from "../json/shared-json.ts";
import type { Units } from "./units.ts";

/** One call as it stands in `usage_events`; ids are uuids. */
export interface UsageRow {
  /** Milliseconds since the epoch: when the call was taken on. */
  occurredAt: number;
  requestId: string;
  attempt: number;
  organizationId: string;
  keyId: string | null;
  userId: string | null;
  endpoint:
    | "chat.completions"
    | "embeddings"
    | "messages"
    | "messages.count_tokens"
    | "responses"
    | "moderations"
    | "images.generations"
    | "audio.speech"
    | "audio.transcriptions"
    | "audio.translations";
  /** As the client named it: a model or a route; `null`: it named none. A journal of an earlier version does not tell it. */
  requestedModel?: string | null;
  model: string;
  provider: string;
  upstreamModel: string;
  stream: boolean;
  outcome: "ok" | "error" | "aborted" | "crash" | "overrun";
  httpStatus: number | null;
  errorCode: string | null;
  /** What happened at the provider, and the status that it answered with. A journal of an earlier version tells neither. */
  failure?: UpstreamTrouble | null;
  upstreamStatus?: number | null;
  inputTokens: number;
  outputTokens: number;
  cachedInputTokens: number;
  /** Part of `inputTokens` that the provider put into its cache. */
  cacheWriteTokens: number;
  reasoningTokens: number;
  /** What is not billed as plain text tokens. A journal of an earlier version does not tell it. */
  units?: Readonly<Units> | null;
  usageSource: "provider" | "counted" | "bound" | "none";
  cost: NanoDollars;
  /** As the client names the agent session of the call. */
  session: string | null;
  /** Of the key. */
  tags: readonly string[];
  /** Every account that the call is charged to; uuids. */
  accountIds: readonly string[];
  /** The budgets as they stood when the call was let through: JSON. */
  budgetDecision: string | null;
  reserved: NanoDollars;
  /** What nothing that was granted covers, by account in their order; nano-dollars. Absent: nothing. */
  uncovered?: readonly string[];
  price: Readonly<Record<string, unknown>> | null;
  durationMs: number;
  firstByteMs: number | null;
  /** The answer was kept from an earlier call: nobody was asked, and nothing is charged. */
  cachedAnswer?: boolean;
  /** The guardrail that did most to the call, and what it did. */
  guardrail?: string;
  guardrailAction?: "block" | "redact" | "warn";
  clientRequestId: string | null;
  traceId: string | null;
}

/** What makes two rows the same call. */
export function keyOf(row: UsageRow): string {
  return `${row.occurredAt}.${row.requestId}.${row.attempt}`;
}

/** One line of JSON; amounts are decimal strings, as they may pass 2^53. */
export function writeRow(row: UsageRow): string {
  const { price, budgetDecision, cost, reserved } = row;
  const given = { price: undefined, budgetDecision: undefined };
  const json = JSON.stringify({ ...row, ...given, cost: cost.toString(), reserved: reserved.toString() });
  return withMembers(json, `"price":${sharedJson(price)},"budgetDecision":${budgetDecision ?? "null"}`);
}

interface WrittenRow extends Omit<UsageRow, "cost" | "reserved" | "budgetDecision" | "accountIds" | "session" | "tags"> {
  cost: string;
  reserved: string;
  /** An earlier version wrote a text that held the JSON. */
  budgetDecision?: unknown;
  accountIds?: readonly string[];
  session?: string | null;
  tags?: readonly string[];
  /** Of an earlier version, whose budgets had one account of the same id. */
  budgetId?: string | null;
}

/** A line that `writeRow` made, or `undefined` for a torn one. */
export function readRow(line: string): UsageRow | undefined {
  try {
    const row = JSON.parse(line) as WrittenRow;
    if (typeof row.requestId !== "string" || typeof row.occurredAt !== "number") return undefined;
    const {
      budgetId,
      accountIds = budgetId ? [budgetId] : [],
      session = null,
      tags = [],
      budgetDecision: decision,
      ...rest
    } = row;
    const budgetDecision = typeof decision === "string" ? decision : decision ? JSON.stringify(decision) : null;
    return { ...rest, accountIds, session, tags, budgetDecision, cost: BigInt(row.cost), reserved: BigInt(row.reserved) };
  } catch {
    return undefined;
  }
}

/** What a caller wrote, fit for a text column: PostgreSQL stores neither U+0000 nor a lone surrogate. */
export function storableText(text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed().replaceAll("\u0000", "\ufffd");
}
