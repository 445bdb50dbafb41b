import { join } from "node:path";
/** The package that the first source is compared with, asked as its users ask it. */
import { pathToFileURL } from "node:url";
import type { SourceRates } from "./listed-model.ts";

interface Answer {
  input_price: number;
  output_price: number;
  model: { id: string; context_window?: number };
  model_price: Record<string, unknown>;
}
interface Package {
  calcPrice(
    this: void,
    usage: Record<string, number>,
    model: string,
    options: { providerId: string; timestamp: Date },
  ): Answer | null;
}

type MediaField = (typeof mediaFields)[keyof typeof mediaFields];

/** Tokens of sound and images, by their name in that package and here. */
const mediaFields = {
  input_audio_mtok: "audio_input",
  cache_audio_read_mtok: "cached_audio_input",
  output_audio_mtok: "audio_output",
  input_image_mtok: "image_input",
  cache_image_read_mtok: "cached_image_input",
  output_image_mtok: "image_output",
} as const;

/** Dollars for a million tokens. */
export type MediaRates = Partial<Record<MediaField, number>>;

export interface SecondSource {
  /** What sound and images cost beside text, for calls with more input than so many tokens; the first source tells none. */
  mediaOf(provider: string, model: string, above: number): MediaRates;
  /** For calls with more input than so many tokens; `undefined`: it does not know the model. */
  ratesOf(provider: string, model: string, above: number): Partial<SourceRates> | undefined;
  /** Longest input and output together, tokens; of the very model, not of its family. */
  contextOf(provider: string, model: string): number | undefined;
  /** The model by which it answers; it knows some by their family alone. */
  nameOf(provider: string, model: string): string | undefined;
}

export async function openSecondSource(directory: string, timestamp: Date): Promise<SecondSource> {
  const { calcPrice } = (await import(pathToFileURL(join(directory, "dist/index.js")).href)) as Package;
  return {
    mediaOf(providerId, id, above) {
      const told = calcPrice({ input_tokens: 1 }, id, { providerId, timestamp })?.model_price ?? {};
      const rates = Object.entries(mediaFields).flatMap(([theirs, ours]) => {
        const rate = rateAt(told[theirs], above);
        return rate ? [[ours, rate] as const] : [];
      });
      return Object.fromEntries(rates);
    },
    contextOf(providerId, id) {
      const model = calcPrice({ input_tokens: 1 }, id, { providerId, timestamp })?.model;
      return model?.id === id ? model.context_window : undefined;
    },
    nameOf: (providerId, model) => calcPrice({ input_tokens: 1 }, model, { providerId, timestamp })?.model.id,
    ratesOf(providerId, model, above) {
      const tokens = above + 1000;
      const ask = (usage: Record<string, number>) =>
        calcPrice({ input_tokens: tokens, ...usage }, model, { providerId, timestamp });
      const plain = ask({ output_tokens: 1000 });
      if (!plain) return undefined;
      const tells = (name: string) => plain.model_price[name] !== undefined;
      const perMillion = (dollars: number | undefined, count: number) => ((dollars ?? 0) * 1e6) / count;
      return {
        input: perMillion(plain.input_price, tokens),
        output: perMillion(plain.output_price, 1000),
        ...(tells("cache_read_mtok") ? { cacheRead: perMillion(ask({ cache_read_tokens: tokens })?.input_price, tokens) } : {}),
        ...(tells("cache_write_mtok")
          ? { cacheWrite: perMillion(ask({ cache_write_tokens: tokens })?.input_price, tokens) }
          : {}),
      };
    },
  };
}

function rateAt(told: unknown, above: number): number | undefined {
  if (typeof told === "number") return told;
  const { base, tiers } = (told ?? {}) as { base?: number; tiers?: { start: number; price: number }[] };
  return tiers?.findLast(({ start }) => above >= start)?.price ?? base;
}
