import { costOf, nanosFromDollars, type NanoDollars } from "@nexus/core";
import { type ModelKind, writesTokens } from "../catalogue/model-kind.ts";
import type { TokenUsage } from "../usage/token-usage.ts";
import { fieldsOf, scalarSource, type YamlFields, type YamlFile } from "./yaml-fields.ts";

/** What tokens cost: nano-dollars for a million of them. */
export interface Rates {
  input: NanoDollars;
  output: NanoDollars;
  /** For input that the provider found in its cache. */
  cachedInput: NanoDollars;
  /** For input that the provider put into its cache, for minutes and for an hour. */
  cacheWrite: NanoDollars;
  cacheWriteHour: NanoDollars;
}

export interface Price extends Rates {
  /**
   * Rates of a whole call whose input is longer than `above` tokens, shortest first. None is below the one before it, so that
   * what a bound costs is never less than what is consumed within it.
   */
  tiers?: readonly (Rates & { above: number })[];
  /** Where the figures come from and since when they hold. */
  source: string;
  effective: string;
}

/** The cost of a call; each part is rounded up, so that many small calls cannot be had for nothing. */
export function priceOf(usage: TokenUsage, price: Price): NanoDollars {
  const { input, cacheWrite, cacheWriteHour } = usage;
  const rates: Rates = price.tiers?.findLast(({ above }) => input > above) ?? price;
  const cached = Math.min(usage.cachedInput, input);
  // Parts that are more than the whole are a provider's mistake; each is billed, and nothing twice.
  const plain = Math.max(0, input - cached - cacheWrite - cacheWriteHour);
  return (
    costOf(plain, rates.input) +
    costOf(cached, rates.cachedInput) +
    costOf(cacheWrite, rates.cacheWrite) +
    costOf(cacheWriteHour, rates.cacheWriteHour) +
    costOf(usage.output, rates.output)
  );
}

/** As it is stamped on a usage row. */
export function priceDocument(price: Price) {
  return {
    ...ratesDocument(price),
    ...(price.tiers ? { tiers: price.tiers.map((tier) => ({ above: tier.above, ...ratesDocument(tier) })) } : {}),
    unit: "nanos_per_million_tokens" as const,
    source: price.source,
    effective: price.effective,
  };
}

function ratesDocument(rates: Rates) {
  return {
    input: rates.input.toString(),
    output: rates.output.toString(),
    cached_input: rates.cachedInput.toString(),
    cache_write: rates.cacheWrite.toString(),
    cache_write_1h: rates.cacheWriteHour.toString(),
  };
}

/** `free`, or dollars for a million tokens with their source and date. `undefined` after a fault. */
export function readPrice(file: YamlFile, model: YamlFields, kind: ModelKind | undefined): Price | "free" | undefined {
  const node = model.child("price");
  if (!model.has("price")) return model.refuse("price", "is required: `free`, or what a million tokens cost");
  if (scalarSource(node) === "free") return "free";
  if (scalarSource(node) === "listed")
    return model.refuse("price", "is `listed`, but no list has this model at its provider: tell what a million tokens cost");
  const fields = fieldsOf(file, node, `${model.path}.price`);
  if (!fields) return undefined;
  fields.oneOf("unit", ["usd_per_million_tokens"]);
  const input = dollars(fields, "input");
  // Such a model answers no tokens.
  const output = kind !== undefined && !writesTokens(kind) && !fields.has("output") ? 0n : dollars(fields, "output");
  const cachedInput = fields.has("cached_input") ? dollars(fields, "cached_input") : input;
  const cacheWrite = fields.has("cache_write") ? dollars(fields, "cache_write") : usualWrite(input, 125n);
  const cacheWriteHour = fields.has("cache_write_1h") ? dollars(fields, "cache_write_1h") : usualWrite(input, 200n);
  const source = fields.text("source");
  const effective = fields.text("effective", {
    pattern: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/,
    saying: "must be a date like 2026-01-31",
  });
  fields.finish();
  if (input === undefined || output === undefined || cachedInput === undefined || !source || !effective) return undefined;
  if (cacheWrite === undefined || cacheWriteHour === undefined) return undefined;
  if (cacheWriteHour < input || cacheWriteHour < cacheWrite)
    return fields.refuse(
      "cache_write_1h",
      "must not be below input and cache_write: a bound counts input that may be cached at it",
    );
  if (cachedInput > input)
    return fields.refuse("cached_input", "must not be above input: a call's bound counts all of its input at `input`");
  return { input, output, cachedInput, cacheWrite, cacheWriteHour, source, effective };
}

/** What those who bill it ask: 1.25 times the input for minutes, twice for an hour (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching). */
function usualWrite(input: NanoDollars | undefined, percent: bigint): NanoDollars | undefined {
  return input === undefined ? undefined : percentOf(input, percent);
}

/** Rounded up. */
export function percentOf(rate: NanoDollars, percent: bigint): NanoDollars {
  return (rate * percent + 99n) / 100n;
}

function dollars(fields: YamlFields, name: string): NanoDollars | undefined {
  const text = fields.text(name);
  if (text === undefined) return undefined;
  try {
    const nanos = nanosFromDollars(text);
    if (nanos <= nanosFromDollars("1000000")) return nanos;
    return fields.refuse(name, "must be at most 1000000 dollars for a million tokens");
  } catch {
    return fields.refuse(name, 'must be dollars for a million tokens, such as "2.50"');
  }
}
