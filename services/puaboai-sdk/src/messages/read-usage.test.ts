/** What Anthropic's usage objects cost, at prices that tell every kind of token apart. Shapes: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching */
import { expect, test } from "vitest";
import { priceOf } from "../settings/price.ts";
import type { TokenUsage } from "../usage/token-usage.ts";
import { mergeUsage } from "./read-usage.ts";

/** Nano-dollars for a million tokens, so that one token of each kind costs one of another digit. */
const price = {
  input: 1_000_000n,
  cachedInput: 10_000_000n,
  cacheWrite: 100_000_000n,
  cacheWriteHour: 1_000_000_000n,
  output: 10_000_000_000n,
  source: "test",
  effective: "2026-01-01",
};
const read = (...objects: object[]) => objects.reduce<TokenUsage | undefined>(mergeUsage, undefined);

test.each([
  ["no cache", { input_tokens: 3, output_tokens: 2 }, 20_003n],
  ["read from the cache", { input_tokens: 3, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 0 }, 43n],
  [
    "written for minutes",
    { input_tokens: 1, cache_creation_input_tokens: 5, cache_read_input_tokens: 0, output_tokens: 0 },
    501n,
  ],
  [
    "written for minutes and for an hour",
    {
      input_tokens: 1,
      cache_creation_input_tokens: 5,
      cache_creation: { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 2 },
      output_tokens: 1,
    },
    12_301n,
  ],
  [
    "an hour that is more than was written",
    { input_tokens: 0, cache_creation_input_tokens: 1, cache_creation: { ephemeral_1h_input_tokens: 9 } },
    1000n,
  ],
  [
    "figures that are none",
    { input_tokens: 2, cache_read_input_tokens: -1, cache_creation_input_tokens: "5", output_tokens: 1.5 },
    2n,
  ],
])("%s", (_, usage, cost) => {
  expect(priceOf(read(usage)!, price)).toBe(cost);
});

test("a stream tells its input first, and its output from the beginning again and again", () => {
  const begun = { input_tokens: 3, cache_read_input_tokens: 4, cache_creation_input_tokens: 5, output_tokens: 1 };
  const usage = read(begun, { output_tokens: 7 }, { output_tokens: 9 });
  expect(usage).toEqual({ input: 12, output: 9, cachedInput: 4, cacheWrite: 5, cacheWriteHour: 0, reasoning: 0 });
  // The last event may tell everything once more.
  expect(read(begun, { ...begun, output_tokens: 9 })).toEqual(usage);
});

test("what is no usage changes nothing", () => {
  expect(read({}, { output: 1 })).toBeUndefined();
  expect(mergeUsage(undefined, null)).toBeUndefined();
});
