import { expect, test } from "vitest";
import { priceOf } from "../settings/price.ts";
import { readTokenUsage } from "./token-usage.ts";

const price = {
  input: 2_000_000_000n,
  output: 10_000_000_000n,
  cachedInput: 500_000_000n,
  cacheWrite: 2_500_000_000n,
  cacheWriteHour: 4_000_000_000n,
  source: "s",
  effective: "2026-01-01",
};

test.each([
  // https://platform.openai.com/docs/api-reference/chat/object: reasoning is a part of the completion.
  [
    "openai",
    {
      prompt_tokens: 1000,
      completion_tokens: 300,
      total_tokens: 1300,
      prompt_tokens_details: { cached_tokens: 400 },
      completion_tokens_details: { reasoning_tokens: 200 },
    },
    600n * 2000n + 400n * 500n + 300n * 10_000n,
  ],
  // https://docs.x.ai/docs/guides/reasoning: reasoning stands beside the completion, and in the total.
  [
    "xai",
    { prompt_tokens: 100, completion_tokens: 10, total_tokens: 510, completion_tokens_details: { reasoning_tokens: 400 } },
    100n * 2000n + 410n * 10_000n,
  ],
  // https://ai.google.dev/gemini-api/docs/openai: thoughts show in the total alone.
  ["google", { prompt_tokens: 20, completion_tokens: 5, total_tokens: 75 }, 20n * 2000n + 55n * 10_000n],
  [
    "a total that is less than its parts",
    { prompt_tokens: 20, completion_tokens: 5, total_tokens: 3 },
    20n * 2000n + 5n * 10_000n,
  ],
  // https://platform.openai.com/docs/api-reference/embeddings/create
  ["embeddings", { prompt_tokens: 8, total_tokens: 8 }, 8n * 2000n],
])("%s is billed as the provider bills it", (_provider, usage, cost) => {
  const tokens = readTokenUsage(usage);
  expect(tokens && priceOf(tokens, price)).toBe(cost);
});
