/** Prices as people write them: dollars, with their source and date. */
import { type NanoDollars, nanosFromDollars } from "@nexus/core";
import { isMap } from "yaml";
import { type ModelKind, writesTokens } from "../catalogue/model-kind.ts";
import { type Fees, percentOf, type Price, type Rates } from "./price.ts";
import { entriesOf, fieldsOf, itemsOf, scalarSource, type YamlFields, type YamlFile } from "./yaml-fields.ts";

interface Priced {
  kind: ModelKind | undefined;
  /** The provider puts input into its cache only where a request asks for it, as Anthropic does. */
  writesWhenAsked: boolean;
}

const tokenFields = ["input", "output"] as const;
/** Tokens that have a rate of their own where one is told. */
export const mediaRates = {
  audioInput: "audio_input",
  cachedAudioInput: "cached_audio_input",
  audioOutput: "audio_output",
  imageInput: "image_input",
  cachedImageInput: "cached_image_input",
  imageOutput: "image_output",
} as const satisfies Partial<Record<keyof Rates, string>>;
const feeFields = ["per_call", "per_minute", "per_million_characters", "per_image", "per_search"] as const;

/** `free`, `unknown`, or what the model costs. `undefined` after a fault. */
export function readPrice(file: YamlFile, model: YamlFields, about: Priced): Price | "free" | "unknown" | undefined {
  const node = model.child("price");
  if (!model.has("price"))
    return model.refuse("price", "is required: `free`, what it costs, or `unknown` until an administrator prices it");
  const word = scalarSource(node);
  if (word === "free" || word === "unknown") return word;
  if (word === "listed")
    return model.refuse("price", "is `listed`, but no list has this model at its provider: tell what a million tokens cost");
  if (word !== undefined) return model.refuse("price", "must be free, listed, unknown, or a mapping that tells what it costs");
  const fields = fieldsOf(file, node, `${model.path}.price`);
  if (!fields) return undefined;
  const price = readPriceFields(file, fields, about);
  fields.finish();
  return price;
}

/** Every field of a price, with the last of which the caller has `finish` called. `undefined` after a fault. */
export function readPriceFields(file: YamlFile, fields: YamlFields, { kind, writesWhenAsked }: Priced): Price | undefined {
  const before = file.faults.length;
  const fees = readFees(file, fields);
  // What is billed by another measure alone has no rates of tokens.
  if (fees === undefined || tokenFields.some((name) => fields.has(name)) || fields.has("unit"))
    fields.oneOf("unit", ["usd_per_million_tokens"]);
  // How long the sound in a request is nobody can tell before the call.
  if (kind === "chat" && fields.has("per_minute")) fields.refuse("per_minute", "cannot be bounded for chat");
  const writes = kind === undefined || writesTokens(kind);
  const rates = readRates(fields, { needsInput: fees === undefined, needsOutput: fees === undefined && writes, writesWhenAsked });
  const tiers = fields.has("tiers") && rates ? readTiers(file, fields, { first: rates, writesWhenAsked }) : undefined;
  const isTold = fields.flagOr("provider_tells_cost", false);
  const source = fields.text("source");
  const effective = fields.text("effective", {
    pattern: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/,
    saying: "must be a date like 2026-01-31",
  });
  if (file.faults.length > before || !rates || !source || !effective) return undefined;
  return {
    ...rates,
    ...(tiers ? { tiers } : {}),
    ...(fees ? { fees } : {}),
    ...(isTold ? { isTold } : {}),
    ...(fields.has("cache_write") && !writesWhenAsked ? { writesUnasked: true } : {}),
    source,
    effective,
  };
}

interface RateRules {
  needsInput: boolean;
  needsOutput: boolean;
  writesWhenAsked: boolean;
}

function readRates(fields: YamlFields, rules: RateRules): Rates | undefined {
  const { needsInput, needsOutput, writesWhenAsked } = rules;
  const input = needsInput || fields.has("input") ? dollars(fields, "input") : 0n;
  const output = needsOutput || fields.has("output") ? dollars(fields, "output") : 0n;
  const cachedInput = fields.has("cached_input") ? dollars(fields, "cached_input") : input;
  const usual = (percent: bigint) => (input === undefined ? undefined : percentOf(input, percent));
  // What those who bill it ask: 1.25 times the input for minutes, twice for an hour
  // (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching).
  const cacheWrite = fields.has("cache_write") ? dollars(fields, "cache_write") : usual(writesWhenAsked ? 125n : 100n);
  const usualHour = writesWhenAsked ? usual(200n) : dearer(usual(100n), cacheWrite);
  const cacheWriteHour = fields.has("cache_write_1h") ? dollars(fields, "cache_write_1h") : usualHour;
  const media: Partial<Rates> = {};
  for (const [name, field] of Object.entries(mediaRates) as [keyof typeof mediaRates, string][]) {
    const rate = fields.has(field) ? dollars(fields, field) : undefined;
    if (rate !== undefined) media[name] = rate;
  }
  if (input === undefined || output === undefined || cachedInput === undefined) return undefined;
  if (cacheWrite === undefined || cacheWriteHour === undefined) return undefined;
  const rates = { input, output, cachedInput, cacheWrite, cacheWriteHour, ...media };
  return refuseUnbounded(fields, rates) ? undefined : rates;
}

function dearer(one: NanoDollars | undefined, other: NanoDollars | undefined): NanoDollars | undefined {
  return one === undefined || other === undefined || one > other ? one : other;
}

/** A bound counts all input at what it costs fresh. */
function refuseUnbounded(fields: YamlFields, rates: Rates): boolean {
  const { input, cachedInput, cacheWrite, cacheWriteHour, audioInput, cachedAudioInput, imageInput, cachedImageInput } = rates;
  const before = [
    [cacheWriteHour < input || cacheWriteHour < cacheWrite, "cache_write_1h", "must not be below input and cache_write"],
    [cachedInput > input, "cached_input", "must not be above input"],
    [(cachedAudioInput ?? 0n) > (audioInput ?? 0n), "cached_audio_input", "must not be above audio_input"],
    [(cachedImageInput ?? 0n) > (imageInput ?? 0n), "cached_image_input", "must not be above image_input"],
  ] as const;
  const faults = before.filter(([isFault]) => isFault);
  for (const [, name, detail] of faults) fields.refuse(name, `${detail}: a call's bound counts its input at the dearer`);
  return faults.length > 0;
}

function readTiers(
  file: YamlFile,
  fields: YamlFields,
  { first, writesWhenAsked }: { first: Rates; writesWhenAsked: boolean },
): Price["tiers"] {
  const tiers: (Rates & { above: number })[] = [];
  const path = `${fields.path}.tiers`;
  for (const [index, node] of itemsOf(file, fields.child("tiers"), path).entries()) {
    const tier = fieldsOf(file, node, `${path}[${index}]`);
    if (!tier) continue;
    const above = tier.integer("above", { min: (tiers.at(-1)?.above ?? 0) + 1, max: 100_000_000 });
    const rates = readRates(tier, { needsInput: true, needsOutput: true, writesWhenAsked });
    tier.finish();
    if (above === undefined || !rates) continue;
    const [was, is] = [allRates(tiers.at(-1) ?? first), allRates(rates)];
    const lower = Object.keys(was).find((name) => (is[name] ?? 0n) < (was[name] ?? 0n));
    if (lower !== undefined) tier.refuse("above", "must not have a rate below that of shorter input, nor leave one out");
    tiers.push({ above, ...rates });
  }
  return tiers;
}

function allRates(rates: Rates): Record<string, NanoDollars> {
  const { input, output, cachedInput, cacheWrite, cacheWriteHour } = rates;
  const media = (Object.keys(mediaRates) as (keyof typeof mediaRates)[]).flatMap((name) => {
    const rate = rates[name];
    return rate === undefined ? [] : [[name, rate] as const];
  });
  return { input, output, cachedInput, cacheWrite, cacheWriteHour, ...Object.fromEntries(media) };
}

function readFees(file: YamlFile, fields: YamlFields): Fees | undefined {
  const amount = (name: (typeof feeFields)[number]) => (fields.has(name) ? dollars(fields, name) : undefined);
  const [call, minute, millionCharacters, search] = [
    amount("per_call"),
    amount("per_minute"),
    amount("per_million_characters"),
    amount("per_search"),
  ];
  const minimumSeconds = fields.has("minimum_seconds") ? fields.integer("minimum_seconds", { min: 1, max: 3600 }) : undefined;
  if (minimumSeconds !== undefined && minute === undefined) fields.refuse("minimum_seconds", "has no meaning without per_minute");
  const mostSearches = search === undefined ? undefined : fields.integer("most_searches", { min: 1, max: 1000 });
  const images = fields.has("per_image") ? readImageFees(file, fields) : undefined;
  if (!feeFields.some((name) => fields.has(name))) return undefined;
  return {
    ...(call === undefined ? {} : { call }),
    ...(minute === undefined ? {} : { minute }),
    ...(minimumSeconds === undefined ? {} : { minimumSeconds }),
    ...(millionCharacters === undefined ? {} : { millionCharacters }),
    ...(search === undefined || mostSearches === undefined ? {} : { search, mostSearches }),
    ...(images ? { images } : {}),
  };
}

/** One amount, or one for each size, quality or `size/quality`. */
function readImageFees(file: YamlFile, fields: YamlFields): Fees["images"] {
  const node = fields.child("per_image");
  if (!isMap(node)) {
    const amount = dollars(fields, "per_image");
    return amount === undefined ? undefined : { default: amount };
  }
  const path = `${fields.path}.per_image`;
  const kinds = fieldsOf(file, node, path);
  const images: Record<string, NanoDollars> = {};
  for (const [kind] of entriesOf(file, node, path)) {
    if (!/^[a-z0-9]{1,20}(?:\/[a-z0-9]{1,20})?$/.test(kind)) kinds?.refuse(kind, "must be a size, a quality, or size/quality");
    const amount = kinds && dollars(kinds, kind);
    if (amount !== undefined) images[kind] = amount;
  }
  if (Object.keys(images).length === 0) fields.refuse("per_image", "must be an amount, or tell one for a size or quality");
  return images;
}

function dollars(fields: YamlFields, name: string): NanoDollars | undefined {
  const text = fields.text(name);
  if (text === undefined) return undefined;
  try {
    const nanos = nanosFromDollars(text);
    if (nanos <= nanosFromDollars("1000000")) return nanos;
    return fields.refuse(name, "must be at most 1000000 dollars");
  } catch {
    return fields.refuse(name, 'must be dollars, such as "2.50"');
  }
}
