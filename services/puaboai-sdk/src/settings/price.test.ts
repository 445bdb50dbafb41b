/** What calls cost by every measure, and that no bound is below what is consumed within it. */
import { expect, test } from "vitest";
import { boundUsage } from "../budgets/bound-usage.ts";
import { noTokens, type TokenUsage } from "../usage/token-usage.ts";
import { withUnits } from "../usage/units.ts";
import { parseGatewaySettings } from "./gateway-settings.ts";
import { priceDocument } from "./price-document.ts";
import { boundCost, type Price, priceOf, type Rates, withSound } from "./price.ts";

function priceIn(fields: string, { kind = "chat", provider = "openai-compatible" } = {}): Price {
  const output = kind === "chat" || kind === "images" ? "max_output_tokens: 5," : "";
  const { models } = parseGatewaySettings(
    `providers: { p: { kind: ${provider}, base_url: "https://a.example.com/v1", api_key_env: KEY } }
models: [{ id: m, provider: p, kind: ${kind}, context_tokens: 10, ${output} price: { ${fields}, source: "https://a.example.com/prices", effective: 2026-11-01 } }]`,
    "gateway.yaml",
  );
  const price = models[0]!.price;
  if (typeof price === "string") throw new Error("it has a price");
  return price;
}

const tokens = "unit: usd_per_million_tokens";
const usage = (parts: Partial<TokenUsage>, units: Parameters<typeof withUnits>[0] = {}): TokenUsage => ({
  ...noTokens,
  ...parts,
  ...withUnits(units),
});

test("sound and images have rates of their own, in and out, fresh and from the cache", () => {
  const price = priceIn(`${tokens}, input: "1", output: "2", cached_input: "0.5", audio_input: "30", cached_audio_input: "3",
    audio_output: "60", image_input: "5", cached_image_input: "1.25", image_output: "40"`);
  const told = { audioInput: 100, imageInput: 50, audioOutput: 20, imageOutput: 10, cachedAudioInput: 40, cachedImageInput: 8 };
  // 1,000 in: 850 text of which 52 are cached, 100 sound of which 40 are, 50 of images of which 8 are; 70 out, 40 of it text.
  expect(priceOf(usage({ input: 1000, cachedInput: 100, output: 70 }, told), price)).toBe(
    798n * 1000n +
      52n * 500n +
      60n * 30_000n +
      40n * 3000n +
      42n * 5000n +
      8n * 1250n +
      40n * 2000n +
      20n * 60_000n +
      10n * 40_000n,
  );
});

test("where nobody tells what of sound and text was cached, it was the text first", () => {
  const price = priceIn(`${tokens}, input: "1", output: "2", cached_input: "0.5", audio_input: "30", cached_audio_input: "3"`);
  expect(priceOf(usage({ input: 100, cachedInput: 30 }, { audioInput: 80 }), price)).toBe(
    20n * 500n + 10n * 3000n + 70n * 30_000n,
  );
});

test("where sound was sent and no figure tells how much, all input is billed as sound", () => {
  const price = priceIn(`${tokens}, input: "1", output: "2", audio_input: "3"`);
  const bound = { ...noTokens, hasMedia: true, hasAudio: true };
  expect(priceOf(withSound(usage({ input: 10 }), bound), price)).toBe(30_000n);
  expect(priceOf(withSound(usage({ input: 10 }, { audioInput: 4 }), bound), price)).toBe(18_000n);
  expect(priceOf(withSound(usage({ input: 10 }), { ...noTokens, hasMedia: true }), price)).toBe(10_000n);
});

test("a kind without a rate of its own costs what text costs", () => {
  const price = priceIn(`${tokens}, input: "1", output: "2", cached_input: "0.5"`);
  expect(priceOf(usage({ input: 10, cachedInput: 4, output: 3 }, { audioInput: 9, imageOutput: 2 }), price)).toBe(14_000n);
});

test.each([
  ["a minute of sound", `per_minute: "0.006"`, { seconds: 61 }, 6_100_000n],
  ["a second that is no whole nano", `per_minute: "0.000000001"`, { seconds: 1 }, 1n],
  ["ten seconds at least", `per_minute: "0.06", minimum_seconds: 10`, { seconds: 2 }, 10_000_000n],
  ["characters", `per_million_characters: "15"`, { characters: 4096 }, 61_440_000n],
  ["images of one price", `per_image: "0.02"`, { images: 3 }, 60_000_000n],
  [
    "images by size and quality",
    `per_image: { 1024x1024: "0.04", 1024x1024/hd: "0.08" }`,
    { images: 2, imageKind: "1024x1024/hd" },
    160_000_000n,
  ],
  [
    "images by size",
    `per_image: { 1024x1024: "0.04", 1024x1024/hd: "0.08" }`,
    { images: 1, imageKind: "1024x1024/standard" },
    40_000_000n,
  ],
  [
    "images of an unknown kind, at the dearest",
    `per_image: { low: "0.01", high: "0.17" }`,
    { images: 1, imageKind: "9x9/ultra" },
    170_000_000n,
  ],
  ["a call", `per_call: "0.005"`, { seconds: 1 }, 5_000_000n],
  ["searches", `per_search: "0.01", most_searches: 5`, { searches: 3 }, 30_000_000n],
])("%s", (_, fields, units, cost) => {
  expect(priceOf(usage({}, units), priceIn(fields, { kind: "moderations" }))).toBe(cost);
});

test("what consumed nothing has no fee", () => {
  expect(priceOf(noTokens, priceIn(`per_call: "0.005"`))).toBe(0n);
});

test("what the provider tells is charged where the price says so, and only there", () => {
  const figures = `${tokens}, input: "1", output: "2"`;
  const told = usage({ input: 10, output: 10 }, { toldCost: 12_345 });
  expect(priceOf(told, priceIn(`${figures}, provider_tells_cost: true`))).toBe(12_345n);
  expect(priceOf(told, priceIn(figures))).toBe(30_000n);
  expect(priceOf(usage({ input: 10, output: 10 }), priceIn(`${figures}, provider_tells_cost: true`))).toBe(30_000n);
});

test("cache writes that nobody told a price of cost what Anthropic asks there, and elsewhere what input costs", () => {
  const figures = `${tokens}, input: "1", output: "2"`;
  expect(priceIn(figures, { provider: "anthropic" })).toMatchObject({
    cacheWrite: 1_250_000_000n,
    cacheWriteHour: 2_000_000_000n,
  });
  expect(priceIn(figures)).toMatchObject({ cacheWrite: 1_000_000_000n, cacheWriteHour: 1_000_000_000n });
  expect(priceIn(`${figures}, cache_write: "1.25"`)).toMatchObject({
    cacheWrite: 1_250_000_000n,
    cacheWriteHour: 1_250_000_000n,
    writesUnasked: true,
  });
});

test("longer input may have rates of its own, none below the shorter's", () => {
  const figures = `${tokens}, input: "1", output: "2"`;
  const price = priceIn(`${figures}, tiers: [{ above: 200, input: "2", output: "3" }]`);
  expect([200, 201].map((input) => priceOf(usage({ input, output: 1 }), price))).toEqual([202_000n, 405_000n]);
  for (const tier of [
    `{ above: 200, input: "0.9", output: "3" }`,
    `{ above: 200, input: "2" }`,
    `{ above: 0, input: "2", output: "3" }`,
  ])
    expect(() => priceIn(`${figures}, tiers: [${tier}]`)).toThrow(/tiers\[0\]/);
  expect(() => priceIn(`${figures}, audio_input: "3", tiers: [{ above: 1, input: "1", output: "2" }]`)).toThrow(/leave one out/);
});

test.each([
  [`${tokens}, input: "1", output: "2", cached_input: "1.1"`, "price.cached_input must not be above input"],
  [`${tokens}, input: "1", output: "2", cached_audio_input: "1"`, "price.cached_audio_input must not be above audio_input"],
  [`${tokens}, input: "3", output: "2", cache_write_1h: "2"`, "price.cache_write_1h must not be below"],
  [`${tokens}, input: "1"`, "price.output is required"],
  [`per_image: {}`, "price.per_image must be an amount"],
  [`per_image: { 10 x 10: "1" }`, "must be a size, a quality"],
  [`per_search: "1"`, "price.most_searches is required"],
  [`${tokens}, input: "1", output: "1", per_minute: "1"`, "price.per_minute cannot be bounded for chat"],
  [`per_call: "-1"`, "price.per_call must be dollars"],
  [`minimum_seconds: 10, per_call: "1"`, "has no meaning without per_minute"],
])("%s is refused", (fields, said) => {
  expect(() => priceIn(fields)).toThrow(said);
});

test("a usage row's price tells every figure that it was made with", () => {
  const price = priceIn(`${tokens}, input: "1", output: "2", audio_input: "3", per_call: "0.5", per_image: { high: "0.1" }`);
  expect(priceDocument(price)).toEqual({
    input: "1000000000",
    output: "2000000000",
    cached_input: "1000000000",
    cache_write: "1000000000",
    cache_write_1h: "1000000000",
    audio_input: "3000000000",
    fees: { per_call: "500000000", per_image: { high: "100000000" } },
    unit: "nanos_per_million_tokens",
    source: "https://a.example.com/prices",
    effective: "2026-11-01",
  });
});

test("a context that only the file tells never makes a bound smaller than the bytes", () => {
  const call = { bodyBytes: 50_000, hasMedia: false, outputCap: 1, choices: 1 };
  const told = { contextTokens: 1000, maxOutputTokens: 10 };
  expect(boundUsage(call, told).input).toBe(51_024);
  expect(boundUsage({ ...call, hasMedia: true }, told).input).toBe(51_024);
  expect(boundUsage({ ...call, bodyBytes: 10, hasMedia: true }, told).input).toBe(1034);
  expect(boundUsage({ ...call, bodyBytes: 10, hasMedia: true }, { ...told, contextTokens: 8000 }).input).toBe(8000);
  // A list tells the context of the provider itself: a shorter one in the file changes nothing about what can be billed.
  const { models } = parseGatewaySettings(
    `providers: { p: { kind: openai, api_key_env: KEY } }
models: [{ id: gpt-5-mini, provider: p, kind: chat, context_tokens: 1000 }, { id: long, upstream_model: gpt-5-mini, provider: p, kind: chat, context_tokens: 500000 }]`,
    "gateway.yaml",
  );
  expect(models.map((model) => boundUsage({ ...call, bodyBytes: 1e7 }, model).input)).toEqual([400_000, 500_000]);
  expect(models.map((model) => boundUsage({ ...call, hasMedia: true }, model).input)).toEqual([400_000, 500_000]);
});

/** Repeatable: a failure names its seed. */
function randomOf(seed: number) {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const upTo = (most: number) => Math.floor(next() * (most + 1));
  return { upTo, chance: (share: number) => next() < share };
}

function randomPrice({ upTo, chance }: ReturnType<typeof randomOf>): Price {
  const rate = (least = 0n) => least + BigInt(upTo(20_000_000)) * BigInt(upTo(1000));
  const cached = (most: bigint) => (most * BigInt(upTo(100))) / 100n;
  const rates = (least?: Rates): Rates => {
    const at = (name: keyof Rates) => rate(least?.[name] ?? 0n);
    const input = at("input");
    const [audioInput, imageInput] = [at("audioInput"), at("imageInput")];
    const has = (name: keyof Rates) => (least ? least[name] !== undefined : chance(0.5));
    return {
      input,
      output: at("output"),
      cachedInput: cached(input),
      cacheWrite: at("cacheWrite"),
      cacheWriteHour: rate(),
      ...(has("audioInput") ? { audioInput, cachedAudioInput: cached(audioInput) } : {}),
      ...(has("imageInput") ? { imageInput, cachedImageInput: cached(imageInput) } : {}),
      ...(has("audioOutput") ? { audioOutput: at("audioOutput") } : {}),
      ...(has("imageOutput") ? { imageOutput: at("imageOutput") } : {}),
    };
  };
  const first = rates();
  const fees = {
    call: rate(),
    minute: rate(),
    minimumSeconds: upTo(20),
    millionCharacters: rate(),
    images: { "1/low": rate(), "1/high": rate(), low: rate(), "2": rate() },
    search: rate(),
    mostSearches: upTo(5),
  };
  return {
    ...first,
    ...(chance(0.3) ? { tiers: [{ above: upTo(50_000), ...rates(first) }] } : {}),
    ...(chance(0.7) ? { fees } : {}),
    writesUnasked: chance(0.5),
    source: "s",
    effective: "2026-01-01",
  };
}

test("no bound is below what is consumed within it, whatever the price and however the parts lie", () => {
  for (let seed = 1; seed <= 20_000; seed++) {
    const random = randomOf(seed);
    const { upTo, chance } = random;
    const price = randomPrice(random);
    const kinds = [undefined, "1/low", "1/high", "2/high", "7/none"];
    const most = { seconds: upTo(100), characters: upTo(5000), images: upTo(10), searches: upTo(5) };
    const imageKind = kinds[upTo(4)];
    const call = {
      bodyBytes: upTo(100_000),
      hasMedia: chance(0.5),
      outputCap: upTo(5000),
      choices: 1 + upTo(3),
      writesCache: chance(0.5),
      units: { ...most, ...(imageKind === undefined ? {} : { imageKind }) },
    };
    const bound = boundUsage(call, { contextTokens: upTo(100_000), maxOutputTokens: upTo(5000) });
    const input = upTo(bound.input);
    const cachedInput = upTo(input);
    const writes = call.writesCache || price.writesUnasked ? upTo(input - cachedInput) : 0;
    const cacheWriteHour = call.writesCache ? upTo(writes) : 0;
    const audioInput = call.hasMedia ? upTo(input) : 0;
    const imageInput = call.hasMedia ? upTo(input - audioInput) : 0;
    const cachedAudioInput = chance(0.5) ? upTo(Math.min(cachedInput, audioInput)) : 0;
    const output = upTo(bound.output);
    const audioOutput = upTo(output);
    const consumed = usage(
      { input, cachedInput, output, cacheWriteHour, cacheWrite: writes - cacheWriteHour },
      {
        audioInput,
        imageInput,
        cachedAudioInput,
        cachedImageInput: chance(0.5) ? upTo(Math.min(cachedInput - cachedAudioInput, imageInput)) : 0,
        audioOutput,
        imageOutput: upTo(output - audioOutput),
        seconds: upTo(most.seconds),
        characters: upTo(most.characters),
        images: upTo(most.images),
        searches: upTo(Math.max(most.searches, price.fees?.mostSearches ?? 0)),
        imageKind,
      },
    );
    if (priceOf(consumed, price) > boundCost(bound, price)) throw new Error(`seed ${seed}: the bound is too small`);
  }
});
