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

export interface SecondSource {
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
