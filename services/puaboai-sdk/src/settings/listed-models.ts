/** Limits and prices of known models, as a dated list tells them that tools/prices writes. */
import { readFileSync } from "node:fs";
import { nanosFromDollars } from "@nexus/core";
import { type Capabilities, type CapabilityName, capabilitiesOf } from "../catalogue/capabilities.ts";
import type { ProviderKind } from "../providers/provider-kind.ts";
import { providerKinds } from "../providers/provider-kinds.ts";
import { percentOf, type Price, type Rates } from "./price.ts";
import { mediaRates } from "./read-price.ts";

interface RatesRow {
  input: string;
  output: string;
  cached_input?: string;
  cache_write?: string;
  audio_input?: string;
  cached_audio_input?: string;
  audio_output?: string;
  image_input?: string;
  cached_image_input?: string;
  image_output?: string;
}
interface ModelRow extends RatesRow {
  context_tokens?: number;
  max_output_tokens: number;
  can: CapabilityName[];
  tiers?: (RatesRow & { above: number })[];
}
interface List {
  head: { taken: string; sources: string[] };
  providers: Record<string, Record<string, ModelRow>>;
}

export interface ListedModel {
  /** `undefined`: the list cannot tell it, and the file must. */
  contextTokens: number | undefined;
  maxOutputTokens: number;
  capabilities: Capabilities;
  price: Price;
}

let list: List | undefined;

/** Read once, with the first file that has providers. */
function readList(): List {
  list ??= JSON.parse(readFileSync(new URL("listed-models.json", import.meta.url), "utf8")) as List;
  return list;
}

/** A chat model as the provider at this address offers it. Elsewhere, such as in a region or behind a proxy, other prices hold. */
export function findListedModel(baseUrl: string | undefined, model: string): ListedModel | undefined {
  const rows = rowsAt(baseUrl);
  const row = rows && Object.hasOwn(rows, model) ? rows[model] : undefined;
  return row && listedModel(row, kindAt(baseUrl));
}

/** Every model that is listed for an address. @internal */
export function listedModelsOf(baseUrl: string | undefined): ListedModel[] {
  return Object.values(rowsAt(baseUrl) ?? {}).map((row) => listedModel(row, kindAt(baseUrl)));
}

function rowsAt(baseUrl: string | undefined): Record<string, ModelRow> | undefined {
  const kind = kindAt(baseUrl);
  return kind && readList().providers[kind.listedAs ?? kind.name];
}

function kindAt(baseUrl: string | undefined): ProviderKind | undefined {
  return baseUrl === undefined ? undefined : providerKinds.find((one) => one.baseUrl === baseUrl);
}

function listedModel(row: ModelRow, kind: ProviderKind | undefined): ListedModel {
  const { head } = readList();
  const writesWhenAsked = kind?.wireFormats.includes("anthropic-messages") === true;
  const tiers = row.tiers?.map((tier) => ({ above: tier.above, ...ratesOf(tier, writesWhenAsked) }));
  return {
    contextTokens: row.context_tokens,
    maxOutputTokens: row.max_output_tokens,
    capabilities: { ...capabilitiesOf(row.can), structuredOutput: null },
    price: {
      ...ratesOf(row, writesWhenAsked),
      ...(tiers ? { tiers } : {}),
      ...(row.cache_write !== undefined && !writesWhenAsked ? { writesUnasked: true } : {}),
      source: head.sources.join(", "),
      effective: head.taken,
    },
  };
}

/** What is not told has no discount. Those who bill writes to a cache and tell no price of it ask what Anthropic asks. */
function ratesOf(row: RatesRow, writesWhenAsked: boolean): Rates {
  const input = nanosFromDollars(row.input);
  return {
    input,
    output: nanosFromDollars(row.output),
    cachedInput: row.cached_input === undefined ? input : nanosFromDollars(row.cached_input),
    cacheWrite:
      row.cache_write === undefined ? percentOf(input, writesWhenAsked ? 125n : 100n) : nanosFromDollars(row.cache_write),
    cacheWriteHour: percentOf(input, 200n),
    ...mediaRatesOf(row),
  };
}

function mediaRatesOf(row: RatesRow): Partial<Rates> {
  const rates = Object.entries(mediaRates).flatMap(([name, field]) => {
    const dollars = row[field];
    return dollars === undefined ? [] : [[name, nanosFromDollars(dollars)] as const];
  });
  return Object.fromEntries(rates);
}
