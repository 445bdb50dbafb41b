/** What a call consumed, in tokens. */
export interface TokenUsage {
  input: number;
  output: number;
  /** Part of `input` that the provider took from its cache. */
  cachedInput: number;
  /** Part of `input` that it put into its cache, for minutes and for an hour. */
  cacheWrite: number;
  cacheWriteHour: number;
  /** Part of `output` that was spent on reasoning. */
  reasoning: number;
}

export const noTokens: TokenUsage = { input: 0, output: 0, cachedInput: 0, cacheWrite: 0, cacheWriteHour: 0, reasoning: 0 };

/** An OpenAI `usage` object; `undefined` when it tells no counts. Figures that cannot be counts are taken as absent. */
export function readTokenUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  const input = count(value["prompt_tokens"]);
  if (input === undefined) return undefined;
  // Some count reasoning beside the answer and tell it in the total alone: xAI, and Google behind OpenAI's format.
  const output = Math.max(count(value["completion_tokens"]) ?? 0, (count(value["total_tokens"]) ?? 0) - input);
  const promptDetails = value["prompt_tokens_details"];
  const completionDetails = value["completion_tokens_details"];
  const cached = isObject(promptDetails) ? count(promptDetails["cached_tokens"]) : undefined;
  const reasoning = isObject(completionDetails) ? count(completionDetails["reasoning_tokens"]) : undefined;
  return { ...noTokens, input, output, cachedInput: Math.min(cached ?? 0, input), reasoning: reasoning ?? 0 };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

// 2^40 tokens are more than any call can have: a larger figure is a lie or a mistake, and would overflow the ledger.
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 2 ** 40;
}

function count(value: unknown): number | undefined {
  return isCount(value) ? value : undefined;
}
