/** `GET /v1/usage`: what was called, by whom, and what it cost. */
import { type Static, Type } from "typebox";
import { Nanos, pageQuery, strictObject, Timestamp } from "./common.ts";

const Time = Type.String({ format: "date-time", maxLength: 40 });
const Nullable = { text: Type.Union([Type.String(), Type.Null()]), integer: Type.Union([Type.Integer(), Type.Null()]) };

export const UsageQuery = strictObject({
  ...pageQuery,
  organization_id: Type.Optional(Type.String({ maxLength: 64, description: "for administrators; the others see their own" })),
  key_id: Type.Optional(Type.String({ maxLength: 64 })),
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  from: Type.Optional({ ...Time, description: "at or after; 30 days before `to` unless told" }),
  to: Type.Optional({ ...Time, description: "before; now unless told" }),
});
export type UsageQuery = Static<typeof UsageQuery>;

const count = Type.Optional(Type.Integer());

/** A part that did not occur is absent. */
const UsageUnits = strictObject({
  audio_input_tokens: count,
  image_input_tokens: count,
  cached_audio_input_tokens: count,
  cached_image_input_tokens: count,
  audio_output_tokens: count,
  image_output_tokens: count,
  seconds: Type.Optional(Type.Integer({ description: "of sound that was listened to" })),
  characters: Type.Optional(Type.Integer({ description: "of text that was spoken" })),
  images: count,
  image_kind: Type.Optional(Type.String({ description: "size/quality" })),
  searches: Type.Optional(Type.Integer({ description: "of the web, by the provider" })),
  told_cost_nanos: Type.Optional(Type.Integer({ description: "what the provider says that the call cost" })),
});

/** What can happen at a provider, in one word; `docs/requests.md` has a line for each. */
const upstreamTroubles = [
  "refused",
  "overloaded",
  "server_error",
  "no_connection",
  "connection_broken",
  "connect_timeout",
  "first_byte_timeout",
  "idle_timeout",
  "total_timeout",
  "bad_answer",
  "error_in_answer",
  "breaker_open",
  "too_many_calls",
  "no_secret",
] as const;
const UpstreamTrouble = Type.Union(upstreamTroubles.map((word) => Type.Literal(word)));
export type UpstreamTrouble = (typeof upstreamTroubles)[number];

export const UsageEvent = strictObject({
  request_id: Type.String({ description: "req_…: the x-request-id of the answer" }),
  attempt: Type.Integer(),
  occurred_at: Timestamp,
  organization_id: Type.String(),
  key_id: Nullable.text,
  user_id: Nullable.text,
  endpoint: Type.String({ description: "chat.completions or embeddings" }),
  requested_model: Type.Union([Type.String(), Type.Null()], { description: "as the client named it: a model or a route" }),
  model: Type.String({ description: "the one that was called" }),
  provider: Type.String(),
  upstream_model: Type.String(),
  stream: Type.Boolean(),
  outcome: Type.String({ description: "ok, error, aborted, crash (charged in full), overrun (cost more than was set aside)" }),
  http_status: Nullable.integer,
  error_code: Nullable.text,
  failure: Type.Union([UpstreamTrouble, Type.Null()], { description: "what happened at the provider, where it failed" }),
  upstream_status: Type.Union([Type.Integer(), Type.Null()], { description: "as the provider answered; null: it did not" }),
  input_tokens: Type.Integer(),
  output_tokens: Type.Integer(),
  cached_input_tokens: Type.Integer({ description: "part of input_tokens" }),
  cache_write_tokens: Type.Integer({ description: "part of input_tokens: put into the provider's cache" }),
  reasoning_tokens: Type.Integer({ description: "part of output_tokens" }),
  units: Type.Union([UsageUnits, Type.Null()], { description: "what is not billed as plain text tokens" }),
  usage_source: Type.String({ description: "who counted: provider, counted (by us), bound (the most it can have been), none" }),
  cost_nanos: Nanos,
  price: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()]),
  duration_ms: Type.Integer(),
  first_byte_ms: Nullable.integer,
  client_request_id: Nullable.text,
});
export type UsageEvent = Static<typeof UsageEvent>;

export const UsageTotals = strictObject({
  requests: Type.Integer(),
  input_tokens: Type.Integer(),
  output_tokens: Type.Integer(),
  cached_input_tokens: Type.Integer(),
  cache_write_tokens: Type.Integer(),
  reasoning_tokens: Type.Integer(),
  cost_nanos: Nanos,
});
export type UsageTotals = Static<typeof UsageTotals>;

export const UsagePage = strictObject({
  data: Type.Array(UsageEvent),
  totals: UsageTotals,
  next_cursor: Nullable.text,
  has_more: Type.Boolean(),
});
export type UsagePage = Static<typeof UsagePage>;

export const UsageSummaryQuery = strictObject({
  group_by: Type.Optional(
    Type.String({
      maxLength: 100,
      description: "up to three of minute, hour, day, organization, key, user, model, provider, with commas between",
    }),
  ),
  organization_id: Type.Optional(Type.String({ maxLength: 64, description: "for administrators; the others see their own" })),
  key_id: Type.Optional(Type.String({ maxLength: 64 })),
  user_id: Type.Optional(Type.String({ maxLength: 64 })),
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  from: Type.Optional({ ...Time, description: "the hour (or minute) that holds it; 30 days before `to` unless told" }),
  to: Type.Optional({ ...Time, description: "up to the end of the hour (or minute) before it; now unless told" }),
});

const summarySums = {
  attempts: Type.Integer({ description: "rows of `GET /v1/usage`: a request that fell back has several" }),
  failed: Type.Integer({ description: "of them those with another outcome than ok" }),
  input_tokens: Type.Integer(),
  cached_input_tokens: Type.Integer({ description: "part of input_tokens" }),
  output_tokens: Type.Integer(),
  reasoning_tokens: Type.Integer({ description: "part of output_tokens" }),
  cost_nanos: Nanos,
  duration_ms: Type.Integer({ description: "of all attempts together" }),
};
const group = (description: string) => Type.Optional(Type.Union([Type.String(), Type.Null()], { description }));

export const UsageSummary = strictObject({
  from: Timestamp,
  to: Timestamp,
  data: Type.Array(
    strictObject({
      time: group("begin of the minute, hour or day, UTC"),
      organization_id: group("org_…"),
      key_id: group("key_…; null: a person's own calls"),
      user_id: group("usr_…; null: of a key that belongs to no person"),
      model: group("null: calls that reached no model"),
      provider: group("null: calls that reached no provider"),
      ...summarySums,
    }),
    { description: "in the order of time, the dearest first" },
  ),
  totals: strictObject(summarySums),
});
