import type { MediaRates } from "./second-source.ts";

/** A model of the first source, and as it stands in the list. */
export interface SourceRates {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
}

export interface SourceModel {
  id: string;
  type: string;
  contextWindow: number;
  maxTokens: number;
  reasoning: boolean;
  /** `text`, `image`. */
  input: string[];
  cost: SourceRates & { tiers?: (SourceRates & { inputTokensAbove: number })[] };
}

/** Dollars for a million tokens, as decimal texts. */
interface ListedRates {
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

export interface ListedModel extends ListedRates {
  /** Absent where the sources name a price for longer input than they say there can be. */
  context_tokens?: number;
  max_output_tokens: number;
  /** What it can; all of them call tools, as the first source lists no others. */
  can: ("tools" | "images" | "reasoning")[];
  /** Rates of a whole call whose input is longer than so many tokens. */
  tiers?: (ListedRates & { above: number })[];
}

export const rateNames = ["input", "output", "cacheRead", "cacheWrite"] as const;

export function ratesOf(model: SourceModel, above: number): SourceRates {
  return model.cost.tiers?.find((tier) => tier.inputTokensAbove === above) ?? model.cost;
}

/** A bound counts no more input than the context, so that the longest that a source knows is taken. */
export function listedModel(
  model: SourceModel,
  { secondContext, mediaOf }: { secondContext: number | undefined; mediaOf: (above: number) => MediaRates },
): ListedModel {
  const context = Math.max(model.contextWindow, secondContext ?? 0);
  const isKnown = (model.cost.tiers ?? []).every((tier) => tier.inputTokensAbove < context);
  const tiers = model.cost.tiers?.map((tier) => ({
    above: tier.inputTokensAbove,
    ...listedRates(tier, mediaOf(tier.inputTokensAbove)),
  }));
  return {
    ...(isKnown ? { context_tokens: context } : {}),
    max_output_tokens: model.maxTokens,
    can: [
      "tools",
      ...(model.input.includes("image") ? ["images" as const] : []),
      ...(model.reasoning ? ["reasoning" as const] : []),
    ],
    ...listedRates(model.cost, mediaOf(0)),
    ...(tiers && tiers.length > 0 ? { tiers: tiers.toSorted((a, b) => a.above - b.above) } : {}),
  };
}

/** Nothing is told where the source says 0: there is no such price, not none to pay. */
function listedRates({ input, output, cacheRead, cacheWrite }: SourceRates, media: MediaRates): ListedRates {
  return {
    input: decimal(input),
    output: decimal(output),
    ...(cacheRead > 0 ? { cached_input: decimal(cacheRead) } : {}),
    ...(cacheWrite > 0 ? { cache_write: decimal(cacheWrite) } : {}),
    ...Object.fromEntries(Object.entries(media).map(([name, rate]) => [name, decimal(rate)])),
  };
}

/** To the nano-dollar; what a float is off by lies far below. */
function decimal(dollars: number): string {
  return dollars.toFixed(9).replace(/\.?0+$/, "");
}
