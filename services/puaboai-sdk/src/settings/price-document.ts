import type { Fees, Price, Rates } from "./price.ts";

export type PriceDocument = ReturnType<typeof describe>;

const described = new WeakMap<Price, PriceDocument>();

/** As it is stamped on a usage row and shown: amounts in nano-dollars, as decimal texts. The same object for the same price. */
export function priceDocument(price: Price): Readonly<PriceDocument> {
  let document = described.get(price);
  if (!document) described.set(price, (document = describe(price)));
  return document;
}

function describe(price: Price) {
  return {
    ...ratesDocument(price),
    ...(price.tiers ? { tiers: price.tiers.map((tier) => ({ above: tier.above, ...ratesDocument(tier) })) } : {}),
    ...(price.fees ? { fees: feesDocument(price.fees) } : {}),
    ...(price.isTold ? { provider_tells_cost: true as const } : {}),
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
    ...told({
      audio_input: rates.audioInput,
      cached_audio_input: rates.cachedAudioInput,
      audio_output: rates.audioOutput,
      image_input: rates.imageInput,
      cached_image_input: rates.cachedImageInput,
      image_output: rates.imageOutput,
    }),
  };
}

function feesDocument({ call, minute, minimumSeconds, millionCharacters, images, search, mostSearches }: Fees) {
  return {
    ...told({ per_call: call, per_minute: minute, per_million_characters: millionCharacters, per_search: search }),
    ...(minimumSeconds === undefined ? {} : { minimum_seconds: minimumSeconds }),
    ...(mostSearches === undefined ? {} : { most_searches: mostSearches }),
    ...(images ? { per_image: told(images) as Record<string, string> } : {}),
  };
}

function told<Name extends string>(amounts: Readonly<Record<Name, bigint | undefined>>): { [Key in Name]?: string } {
  const found = Object.entries<bigint | undefined>(amounts).filter((entry): entry is [Name, bigint] => entry[1] !== undefined);
  return Object.fromEntries(found.map(([name, amount]) => [name, amount.toString()])) as { [Key in Name]?: string };
}
