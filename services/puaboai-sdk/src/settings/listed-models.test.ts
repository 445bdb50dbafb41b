import { expect, test } from "vitest";
import { boundUsage } from "../budgets/bound-usage.ts";
import { providerKinds } from "../providers/provider-kinds.ts";
import { noTokens } from "../usage/token-usage.ts";
import { parseGatewaySettings } from "./gateway-settings.ts";
import { findListedModel, listedModelsOf } from "./listed-models.ts";
import { boundCost, priceOf } from "./price.ts";

const openai = "https://api.openai.com/v1";
const every = providerKinds.flatMap(({ baseUrl }) => listedModelsOf(baseUrl).map((model) => ({ baseUrl, model })));

function modelsOf(models: string, provider = "kind: openai, api_key_env: KEY") {
  return parseGatewaySettings(`providers: { p: { ${provider} } }\nmodels: [${models}]`, "gateway.yaml").models;
}

test("a listed model needs no limits and no price; what the file tells goes first", () => {
  const [plain, asked, told] = modelsOf(`{ id: gpt-5-mini, provider: p, kind: chat },
    { id: small, upstream_model: gpt-5-mini, provider: p, kind: chat, price: listed, context_tokens: 1000 },
    { id: mine, upstream_model: gpt-5-mini, provider: p, kind: chat, max_output_tokens: 10, price: free }`);
  expect(plain).toMatchObject({
    contextTokens: 400_000,
    maxOutputTokens: 128_000,
    price: { input: 250_000_000n, output: 2_000_000_000n, cachedInput: 25_000_000n, effective: "2026-11-23" },
  });
  expect(asked).toMatchObject({ contextTokens: 1000, price: { input: 250_000_000n } });
  expect(told).toMatchObject({ contextTokens: 400_000, maxOutputTokens: 10, price: "free" });
});

test.each([
  ["{ id: nobody-knows, provider: p, kind: chat, price: listed }", undefined],
  ["{ id: constructor, provider: p, kind: chat, price: listed }", undefined],
  // Other prices hold in a region or behind a proxy.
  ["{ id: gpt-5-mini, provider: p, kind: chat, price: listed }", 'base_url: "https://eu.api.openai.com/v1", kind: openai'],
])("%s is refused where no list has it", (model, provider) => {
  expect(() => modelsOf(model, provider)).toThrow(/gateway\.yaml:2: models\[0\]\.price is `listed`, but no list has this model/);
  expect(() => modelsOf(model, provider)).toThrow(/context_tokens is required/);
});

test("longer input is billed by its tier, the whole call", () => {
  const price = findListedModel(openai, "gpt-5.4")?.price;
  expect(price && priceOf({ ...noTokens, input: 272_000, output: 10 }, price)).toBe(272_000n * 2500n + 10n * 15_000n);
  expect(price && priceOf({ ...noTokens, input: 272_001, cachedInput: 1, output: 10 }, price)).toBe(
    272_000n * 5000n + 500n + 10n * 22_500n,
  );
});

test("where a cache is written unasked and for more than reading costs, a bound counts it", () => {
  for (const { baseUrl, model } of every)
    for (const rates of [model.price, ...(model.price.tiers ?? [])])
      if (baseUrl !== "https://api.anthropic.com/v1" && rates.cacheWrite > rates.input)
        expect(model.price.writesUnasked).toBe(true);
});

test("what a list tells of cache writes and of sound is billed and bounded", () => {
  const written = findListedModel(openai, "gpt-6-sol")!;
  expect(written.price).toMatchObject({ cacheWrite: 2_500_000_000n, writesUnasked: true });
  expect(priceOf({ ...noTokens, input: 2000, cacheWrite: 1536 }, written.price)).toBe(464n * 2000n + 1536n * 2500n);
  const google = "https://generativelanguage.googleapis.com/v1beta/openai";
  const heard = { ...noTokens, input: 100, units: { audioInput: 90 } };
  expect(priceOf(heard, findListedModel(google, "gemini-2.5-flash")!.price)).toBe(10n * 300n + 90n * 1000n);
});

test("no rate of a list is free by mistake, dearer from the cache than fresh, or lower in a longer tier", () => {
  expect(every.length).toBeGreaterThan(150);
  for (const { model } of every) {
    const steps = [model.price, ...(model.price.tiers ?? [])];
    for (const [index, { input, output, cachedInput, cacheWrite, cacheWriteHour }] of steps.entries()) {
      const before = steps[Math.max(0, index - 1)]!;
      expect(input > 0n && output > 0n && cachedInput > 0n && cachedInput <= input).toBe(true);
      expect(cacheWrite <= cacheWriteHour && input <= cacheWriteHour).toBe(true);
      expect(input >= before.input && output >= before.output && cachedInput >= before.cachedInput).toBe(true);
      expect(cacheWriteHour >= before.cacheWriteHour).toBe(true);
    }
  }
});

test("what a bound costs is never less than what is consumed within it", () => {
  for (const { model } of every) {
    const contextTokens = model.contextTokens ?? 1_000_000;
    const limits = { contextTokens, longestInput: contextTokens, maxOutputTokens: model.maxOutputTokens };
    for (const bodyBytes of [10, 150_000, 300_000, 10_000_000]) {
      const call = { bodyBytes, hasMedia: false, outputCap: undefined, choices: 1, writesCache: true };
      const bound = boundUsage(call, limits);
      const most = boundCost(bound, model.price);
      for (const part of [0, 0.3, 1]) {
        const input = Math.floor(bound.input * part);
        for (const kind of ["cachedInput", "cacheWrite", "cacheWriteHour", undefined] as const)
          expect(
            priceOf({ ...noTokens, input, output: bound.output, ...(kind ? { [kind]: input } : {}) }, model.price),
          ).toBeLessThanOrEqual(most);
      }
    }
  }
});
