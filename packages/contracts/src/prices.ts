/** What models cost, from moments on. */
import { type Static, Type } from "typebox";
import { page, pageQuery, printable, strictObject, Timestamp } from "./common.ts";

const Dollars = Type.String({
  pattern: "^\\d{1,7}(?:\\.\\d{1,9})?$",
  description: "dollars, such as 2.50",
  "x-must": "be dollars in quotes, such as 2.50: not below 0, with at most 7 digits before the point and 9 after it",
});
const dollars = Type.Optional(Dollars);
const rates = {
  input: dollars,
  output: dollars,
  cached_input: dollars,
  cache_write: dollars,
  cache_write_1h: dollars,
  audio_input: dollars,
  cached_audio_input: dollars,
  audio_output: dollars,
  image_input: dollars,
  cached_image_input: dollars,
  image_output: dollars,
};

/** As a price stands in gateway.yaml. */
const PriceTerms = strictObject(
  {
    unit: Type.Optional(Type.Literal("usd_per_million_tokens")),
    ...rates,
    tiers: Type.Optional(Type.Array(strictObject({ above: Type.Integer({ minimum: 1 }), ...rates }), { maxItems: 10 })),
    per_call: dollars,
    per_minute: dollars,
    minimum_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600 })),
    per_million_characters: dollars,
    per_image: Type.Optional(
      Type.Union([Dollars, Type.Record(Type.String({ maxLength: 41 }), Dollars, { minProperties: 1, maxProperties: 50 })]),
    ),
    per_search: dollars,
    most_searches: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    provider_tells_cost: Type.Optional(Type.Boolean()),
    source: Type.String({ minLength: 1, maxLength: 500, pattern: printable, description: "where the figures stand" }),
    effective: Type.Optional(
      Type.String({ format: "date", description: "date since which they hold there; the day of `from` unless told" }),
    ),
  },
  { description: "as in gateway.yaml; docs/gateway.md explains each field" },
);

const SetPrice = Type.Union([Type.Literal("free"), Type.Literal("unknown"), PriceTerms], {
  description: "unknown: the model is refused to callers that have a hard budget",
});

export const SetPriceRequest = strictObject({
  model: Type.String({ minLength: 1, maxLength: 200, description: "as clients call it" }),
  from: Type.Optional({
    ...Type.String({ format: "date-time", maxLength: 40 }),
    description: "the moment from which the price holds; now unless told, never before",
  }),
  price: SetPrice,
  note: Type.Optional(Type.String({ minLength: 1, maxLength: 500, pattern: printable })),
});
export type SetPriceRequest = Static<typeof SetPriceRequest>;

export const PriceParams = strictObject({ id: Type.String({ maxLength: 64, description: "prc_…" }) });
export const PricesQuery = strictObject({
  ...pageQuery,
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
});

export const ModelPrice = strictObject({
  id: Type.String({ description: "prc_…" }),
  model: Type.String(),
  from: Timestamp,
  price: SetPrice,
  note: Type.Union([Type.String(), Type.Null()]),
  state: Type.Union([Type.Literal("in_force"), Type.Literal("to_come"), Type.Literal("past"), Type.Literal("withdrawn")], {
    description: "past: a later one holds, of gateway.yaml or of the API",
  }),
  created_by: Type.String({ description: "usr_…" }),
  created_at: Timestamp,
});
export type ModelPrice = Static<typeof ModelPrice>;

export const PricePage = page(ModelPrice);
