/** What a call costs, and what it can cost at most. */
import type { NanoDollars } from "@nexus/core";
import { noTokens, type TokenUsage } from "../usage/token-usage.ts";
import type { Units } from "../usage/units.ts";

/** What tokens cost: nano-dollars for a million of them. A kind without a rate of its own costs what text costs. */
export interface Rates {
  input: NanoDollars;
  output: NanoDollars;
  /** For input that the provider found in its cache. */
  cachedInput: NanoDollars;
  /** For input that the provider put into its cache, for minutes and for an hour. */
  cacheWrite: NanoDollars;
  cacheWriteHour: NanoDollars;
  audioInput?: NanoDollars;
  cachedAudioInput?: NanoDollars;
  audioOutput?: NanoDollars;
  imageInput?: NanoDollars;
  cachedImageInput?: NanoDollars;
  imageOutput?: NanoDollars;
}

/** What is billed beside tokens: nano-dollars. */
export interface Fees {
  /** For a call that was answered. */
  call?: NanoDollars;
  /** For a minute of sound, of which a call is billed so many seconds at least. */
  minute?: NanoDollars;
  minimumSeconds?: number;
  /** For a million characters of text that is spoken. */
  millionCharacters?: NanoDollars;
  /** For an image, by size and quality, either of them, or `default`. */
  images?: Readonly<Record<string, NanoDollars>>;
  /** For a search of the web, of which a call makes so many at most. */
  search?: NanoDollars;
  mostSearches?: number;
}

export interface Price extends Rates {
  /**
   * Rates of a whole call whose input is longer than `above` tokens, shortest first. None is below the one before it, so that
   * what a bound costs is never less than what is consumed within it.
   */
  tiers?: readonly (Rates & { above: number })[];
  fees?: Fees;
  /** What the provider says that a call cost is charged, and the figures here only bound it. */
  isTold?: boolean;
  /** The provider puts input into its cache without being asked, at the price of `cacheWrite`. */
  writesUnasked?: boolean;
  /** Where the figures come from and since when they hold. */
  source: string;
  effective: string;
}

/** The most that a call can consume. */
export interface Bound extends TokenUsage {
  /** How many answers share the output; absent: one. */
  choices?: number;
  /** Any part of the input may be sound or an image. */
  hasMedia?: boolean;
  /** Some of the input is sound. */
  hasAudio?: boolean;
}

const million = 1_000_000n;

/** The cost of a call, rounded up, so that many small calls cannot be had for nothing. */
export function priceOf(usage: TokenUsage, price: Price): NanoDollars {
  const { units } = usage;
  if (price.isTold && units?.toldCost !== undefined) return BigInt(units.toldCost);
  const rates = ratesAt(price, usage.input);
  return roundedUp(inputCost(usage, rates) + outputCost(usage, rates) + (price.fees ? feesOf(usage, price.fees) : 0n));
}

/** What a call can cost at most: everything at the dearest rate that may hold for it. */
export function boundCost(bound: Bound, price: Price): NanoDollars {
  const rates = ratesAt(price, bound.input);
  const { input, cachedInput, cacheWrite, cacheWriteHour, output, audioOutput, imageOutput } = rates;
  const asked = bound.cacheWriteHour > 0 ? [cacheWrite, cacheWriteHour] : [];
  const media = bound.hasMedia ? [rates.audioInput, rates.imageInput, rates.cachedAudioInput, rates.cachedImageInput] : [];
  const dearestInput = dearest(input, cachedInput, price.writesUnasked ? cacheWrite : 0n, ...asked, ...media);
  return roundedUp(
    BigInt(bound.input) * dearestInput +
      BigInt(bound.output) * dearest(output, audioOutput, imageOutput) +
      (price.fees ? feesOf(bound, price.fees) + searchesOf(bound, price.fees) : 0n),
  );
}

/** The longest output of each answer, tokens, with which a call costs so much at most; `undefined`: its input alone costs more. */
export function mostOutputWithin(bound: Bound, price: Price, amount: NanoDollars): number | undefined {
  const { choices = 1 } = bound;
  const costs = (tokens: number) => boundCost({ ...bound, output: tokens * choices }, price);
  if (costs(0) > amount) return undefined;
  let [fits, tooMany] = [0, Math.floor(bound.output / choices) + 1];
  while (tooMany - fits > 1) {
    const middle = Math.floor((fits + tooMany) / 2);
    if (costs(middle) <= amount) fits = middle;
    else tooMany = middle;
  }
  return fits;
}

/** Those that the model may make beyond what the call asks for. */
function searchesOf({ units }: Bound, { search = 0n, mostSearches = 0 }: Fees): bigint {
  return BigInt(Math.max(0, mostSearches - (units?.searches ?? 0))) * search * million;
}

/** Where sound was sent and no figure says how much of the input it was, it can have been all. */
export function withSound(usage: TokenUsage, bound: Bound): TokenUsage {
  if (!bound.hasAudio || usage.units?.audioInput !== undefined) return usage;
  return { ...usage, units: { ...usage.units, audioInput: usage.input } };
}

/** Where no figure says how often a model has searched, it can have been as often as it may. */
export function withSearches(usage: TokenUsage, { fees }: Price): TokenUsage {
  const { search = 0n, mostSearches = 0 } = fees ?? {};
  if (search === 0n || mostSearches === 0 || usage.units?.searches !== undefined) return usage;
  return { ...usage, units: { ...usage.units, searches: mostSearches } };
}

function ratesAt(price: Price, input: number): Rates {
  return price.tiers?.findLast(({ above }) => input > above) ?? price;
}

/** In millionths of a nano-dollar, as all sums here. */
function inputCost(usage: TokenUsage, rates: Rates): bigint {
  const { input, cacheWrite, cacheWriteHour } = usage;
  const cached = Math.min(usage.cachedInput, input);
  const media = usage.units && mediaInput(usage.units, rates, { input, cached });
  const text = input - (media?.tokens ?? 0);
  const cachedText = Math.min(cached - (media?.cached ?? 0), text);
  // Parts that are more than the whole are a provider's mistake; each is billed, and nothing twice. Media have been billed.
  const most = media?.tokens ? text - cachedText : Infinity;
  const hour = Math.min(cacheWriteHour, most);
  const minutes = Math.min(cacheWrite, most - hour);
  const plain = Math.max(0, text - cachedText - hour - minutes);
  return (
    BigInt(plain) * rates.input +
    BigInt(cachedText) * rates.cachedInput +
    BigInt(minutes) * rates.cacheWrite +
    BigInt(hour) * rates.cacheWriteHour +
    (media?.cost ?? 0n)
  );
}

/**
 * The sound and images of the input that have a rate of their own. Where nobody says what of them came from the cache, it was the
 * text first, for which a cache saves least.
 */
function mediaInput(
  units: Units,
  rates: Rates,
  { input, cached }: { input: number; cached: number },
): { tokens: number; cached: number; cost: bigint } {
  const { audioInput, imageInput } = rates;
  const audio = audioInput === undefined ? 0 : Math.min(units.audioInput ?? 0, input);
  const image = imageInput === undefined ? 0 : Math.min(units.imageInput ?? 0, input - audio);
  const text = input - audio - image;
  let beyondText = Math.max(0, cached - text);
  const take = (told: number | undefined, most: number, left: number): number => {
    const taken = Math.min(Math.max(told ?? 0, Math.min(beyondText, most)), most, left);
    beyondText = Math.max(0, beyondText - taken);
    return taken;
  };
  const cachedAudio = take(units.cachedAudioInput, audio, cached);
  const cachedImage = take(units.cachedImageInput, image, cached - cachedAudio);
  const cost =
    BigInt(audio - cachedAudio) * (audioInput ?? 0n) +
    BigInt(cachedAudio) * (rates.cachedAudioInput ?? audioInput ?? 0n) +
    BigInt(image - cachedImage) * (imageInput ?? 0n) +
    BigInt(cachedImage) * (rates.cachedImageInput ?? imageInput ?? 0n);
  return { tokens: audio + image, cached: cachedAudio + cachedImage, cost };
}

function outputCost({ output, units }: TokenUsage, rates: Rates): bigint {
  if (!units) return BigInt(output) * rates.output;
  const audio = rates.audioOutput === undefined ? 0 : Math.min(units.audioOutput ?? 0, output);
  const image = rates.imageOutput === undefined ? 0 : Math.min(units.imageOutput ?? 0, output - audio);
  return (
    BigInt(output - audio - image) * rates.output +
    BigInt(audio) * (rates.audioOutput ?? 0n) +
    BigInt(image) * (rates.imageOutput ?? 0n)
  );
}

function feesOf(usage: TokenUsage, fees: Fees): bigint {
  const { seconds = 0, characters = 0, images = 0, imageKind, searches = 0 } = usage.units ?? {};
  const billedSeconds = seconds > 0 ? Math.max(seconds, fees.minimumSeconds ?? 0) : 0;
  return (
    (isNothing(usage) ? 0n : (fees.call ?? 0n) * million) +
    (BigInt(billedSeconds) * (fees.minute ?? 0n) * million + 59n) / 60n +
    BigInt(characters) * (fees.millionCharacters ?? 0n) +
    BigInt(images) * imageRate(fees.images, imageKind) * million +
    BigInt(searches) * (fees.search ?? 0n) * million
  );
}

/** A call that consumed nothing, such as one that counts tokens. */
function isNothing(usage: TokenUsage): boolean {
  return usage === noTokens || (usage.input === 0 && usage.output === 0 && usage.units === undefined);
}

/** By size and quality, by either, or the dearest where neither is told or known. */
function imageRate(images: Fees["images"], kind: string | undefined): NanoDollars {
  if (!images) return 0n;
  const [size = "", quality = ""] = kind?.split("/") ?? [];
  const names = kind === undefined ? [] : [kind, size, quality];
  const found = names.find((name) => Object.hasOwn(images, name));
  return (found === undefined ? undefined : images[found]) ?? dearest(...Object.values(images));
}

function dearest(...rates: (NanoDollars | undefined)[]): NanoDollars {
  return rates.reduce<NanoDollars>((most, rate) => (rate !== undefined && rate > most ? rate : most), 0n);
}

function roundedUp(millionths: bigint): NanoDollars {
  return (millionths + million - 1n) / million;
}

/** Rounded up. */
export function percentOf(rate: NanoDollars, percent: bigint): NanoDollars {
  return (rate * percent + 99n) / 100n;
}
