import { type Units, withUnits } from "./units.ts";

/** What a call consumed: tokens, and what is billed by another measure. */
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
  units?: Units;
}

export const noTokens: TokenUsage = { input: 0, output: 0, cachedInput: 0, cacheWrite: 0, cacheWriteHour: 0, reasoning: 0 };

/** An OpenAI `usage` object; `undefined` when it tells no counts. Figures that cannot be counts are taken as absent. */
export function readTokenUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  const input = count(value["prompt_tokens"]);
  if (input === undefined) return undefined;
  const seconds = count(value["prompt_audio_seconds"]);
  // Some count reasoning beside the answer and tell it in the total alone: xAI, and Google behind OpenAI's format. Mistral's total
  // has the tokens of sound as well, which it bills by the second.
  const total = seconds ? 0 : (count(value["total_tokens"]) ?? 0);
  const output = Math.max(count(value["completion_tokens"]) ?? 0, total - input);
  const prompt = value["prompt_tokens_details"];
  // Where there are no details: DeepSeek, Moonshot.
  const cached = countIn(prompt, "cached_tokens") ?? count(value["prompt_cache_hit_tokens"]) ?? count(value["cached_tokens"]);
  return {
    ...noTokens,
    input,
    output,
    ...cacheParts(input, cached, prompt),
    reasoning: countIn(value["completion_tokens_details"], "reasoning_tokens") ?? 0,
    ...unitsOf(prompt, value["completion_tokens_details"], { ...value, seconds }),
  };
}

/** The same in the words of OpenAI's Responses, images and transcriptions. What was read from the cache is part of the input. */
export function readInputOutputUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  const input = count(value["input_tokens"]);
  if (input === undefined) return undefined;
  // Transcriptions tell the details of one thing.
  const details = value["input_tokens_details"] ?? value["input_token_details"];
  const outputDetails = value["output_tokens_details"] ?? value["output_token_details"];
  return {
    ...noTokens,
    input,
    output: count(value["output_tokens"]) ?? 0,
    ...cacheParts(input, countIn(details, "cached_tokens"), details),
    reasoning: countIn(outputDetails, "reasoning_tokens") ?? 0,
    ...unitsOf(details, outputDetails, value),
  };
}

/**
 * What listening to sound consumed: OpenAI tells tokens or a duration
 * (https://platform.openai.com/docs/api-reference/audio/json-object), Mistral both (https://docs.mistral.ai/api/endpoint/audio/transcriptions).
 */
export function readTranscriptionUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  if (value["type"] === "duration") {
    const { seconds } = value;
    return isDuration(seconds) ? { ...noTokens, ...withUnits({ seconds: Math.ceil(seconds) }) } : undefined;
  }
  const { prompt_audio_seconds: heard, ...tokens } = value;
  if (!isDuration(heard)) return readInputOutputUsage(value) ?? readTokenUsage(value);
  // Its total counts the tokens of the sound, which is billed by the second.
  const input = countIn(tokens, "prompt_tokens") ?? 0;
  const output = countIn(tokens, "completion_tokens") ?? 0;
  return { ...noTokens, input, output, ...withUnits({ seconds: Math.ceil(heard) }) };
}

/** In seconds; a year is a lie or a mistake. */
function isDuration(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 366 * 86_400;
}

function cacheParts(input: number, cached: number | undefined, details: unknown): Pick<TokenUsage, "cachedInput" | "cacheWrite"> {
  const cachedInput = Math.min(cached ?? 0, input);
  // OpenAI's and OpenRouter's name, and that of those who follow Anthropic in OpenAI's format. Both are parts of the input.
  const written = countIn(details, "cache_write_tokens") ?? countIn(details, "cache_creation_input_tokens") ?? 0;
  return { cachedInput, cacheWrite: Math.min(written, input - cachedInput) };
}

function unitsOf(input: unknown, output: unknown, usage: Record<string, unknown>): { units?: Units } {
  const cached = isObject(input) ? input["cached_tokens_details"] : undefined;
  return withUnits({
    audioInput: countIn(input, "audio_tokens"),
    imageInput: countIn(input, "image_tokens"),
    cachedAudioInput: countIn(cached, "audio_tokens"),
    cachedImageInput: countIn(cached, "image_tokens"),
    audioOutput: countIn(output, "audio_tokens"),
    imageOutput: countIn(output, "image_tokens"),
    seconds: count(usage["seconds"]),
    searches: countIn(usage["server_tool_use"], "web_search_requests"),
    toldCost: toldCostOf(usage),
  });
}

/** OpenRouter tells dollars, and with a key of one's own also what the provider behind it asks; xAI tells ten-billionths. */
function toldCostOf({ cost, cost_details: details, is_byok: ownKey, cost_in_usd_ticks: ticks }: Record<string, unknown>) {
  if (isCount(ticks)) return Math.ceil(ticks / 10);
  if (!isAmount(cost)) return undefined;
  const upstream = ownKey !== false && isObject(details) ? details["upstream_inference_cost"] : 0;
  // A fraction of a nano-dollar that is a float's and not the provider's rounds to the nearest; 0.1 + 0.2 is no 0.300000001.
  return Math.ceil(Number(((cost + (isAmount(upstream) ? upstream : 0)) * 1e9).toFixed(3)));
}

/** More than a million dollars a call is a lie or a mistake. */
function isAmount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1e6;
}

/** A member that is a count. */
export function countIn(details: unknown, name: string): number | undefined {
  return isObject(details) ? count(details[name]) : undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

// 2^40 tokens are more than any call can have: a larger figure is a lie or a mistake, and would overflow the ledger.
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 2 ** 40;
}

export function count(value: unknown): number | undefined {
  return isCount(value) ? value : undefined;
}
