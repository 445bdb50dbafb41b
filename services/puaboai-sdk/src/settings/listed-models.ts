/** Limits and prices of known models, as a dated list tells them that tools/prices writes. */
import { readFileSync } from "node:fs";
import { nanosFromDollars } from "@nexus/core";
import { providerKinds } from "../providers/provider-kinds.ts";
import { percentOf, type Price, type Rates } from "./price.ts";

interface RatesRow {
  input: string;
  output: string;
  cached_input?: string;
  cache_write?: string;
}
interface ModelRow extends RatesRow {
  context_tokens?: number;
  max_output_tokens: number;
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
  return row && listedModel(row);
}

/** Every model that is listed for an address. @internal */
export function listedModelsOf(baseUrl: string | undefined): ListedModel[] {
  return Object.values(rowsAt(baseUrl) ?? {}).map(listedModel);
}

function rowsAt(baseUrl: string | undefined): Record<string, ModelRow> | undefined {
  const kind = baseUrl === undefined ? undefined : providerKinds.find((one) => one.baseUrl === baseUrl);
  return kind && readList().providers[kind.name];
}

function listedModel(row: ModelRow): ListedModel {
  const { head } = readList();
  const tiers = row.tiers?.map((tier) => ({ above: tier.above, ...ratesOf(tier) }));
  return {
    contextTokens: row.context_tokens,
    maxOutputTokens: row.max_output_tokens,
    price: { ...ratesOf(row), ...(tiers ? { tiers } : {}), source: head.sources.join(", "), effective: head.taken },
  };
}

/** What is not told is the dearest that is asked for it anywhere: no discount, and what those who bill writes to a cache ask. */
function ratesOf(row: RatesRow): Rates {
  const input = nanosFromDollars(row.input);
  return {
    input,
    output: nanosFromDollars(row.output),
    cachedInput: row.cached_input === undefined ? input : nanosFromDollars(row.cached_input),
    cacheWrite: row.cache_write === undefined ? percentOf(input, 125n) : nanosFromDollars(row.cache_write),
    cacheWriteHour: percentOf(input, 200n),
  };
}
