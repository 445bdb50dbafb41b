/** Leaked keys: who reports them, what was done, and what they touched. */
import { type Static, Type } from "typebox";
import { Nanos, page, pageQuery, printable, strictObject, Timestamp } from "./common.ts";

export const LeakAction = Type.Union([Type.Literal("revoked"), Type.Literal("disabled"), Type.Literal("none")], {
  description: "none: the policy is to report only, or there was nothing left to end",
});

export const Leak = strictObject({
  id: Type.String({ description: "leak_…" }),
  key_id: Type.String(),
  organization_id: Type.String(),
  version: Type.Integer({ description: "which secret of the key was seen" }),
  prefix: Type.String({ description: "the part of that secret that may be shown" }),
  source: Type.String({ description: "who told: github:content, github:commit … or admin" }),
  url: Type.Union([Type.String(), Type.Null()], { description: "where it was seen; null where that was not told" }),
  reported_at: Timestamp,
  action: LeakAction,
});
export type Leak = Static<typeof Leak>;

export const ListLeaksQuery = strictObject({ ...pageQuery });
export const ListAllLeaksQuery = strictObject({
  ...pageQuery,
  all: Type.Optional(Type.Boolean({ description: "those of every organization; for administrators" })),
});
export const LeakPage = page(Leak);

export const ReportHashesRequest = strictObject({
  hashes: Type.Array(Type.String({ maxLength: 200, description: "SHA-256 of a whole key: 64 hex digits" }), {
    minItems: 1,
    maxItems: 10_000,
  }),
  url: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 2000,
      pattern: printable,
      description: "where they were seen: an address, or words",
    }),
  ),
});
export type ReportHashesRequest = Static<typeof ReportHashesRequest>;

export const ReportedHash = strictObject({
  sha256: Type.String(),
  known: Type.Boolean({ description: "false: no key of this installation" }),
  key_id: Type.Union([Type.String(), Type.Null()]),
  organization_id: Type.Union([Type.String(), Type.Null()]),
  action: Type.Union([LeakAction, Type.Null()], { description: "what was done when this leak was first reported" }),
});
export const ReportedHashes = strictObject({ data: Type.Array(ReportedHash, { description: "in the order of the request" }) });
export type ReportedHashes = Static<typeof ReportedHashes>;

/** GitHub's own shape: strangers may add members, so nothing is refused for being unknown. */
export const GithubMatches = Type.Array(
  Type.Object({
    token: Type.String({ "x-secret": true }),
    type: Type.String(),
    url: Type.Optional(Type.String()),
    source: Type.Optional(Type.String()),
  }),
);
export const GithubAnswer = Type.Array(
  strictObject({
    token_hash: Type.String({ description: "SHA-256 of the token, hex" }),
    token_type: Type.String(),
    label: Type.Union([Type.Literal("true_positive"), Type.Literal("false_positive")]),
  }),
);
export type GithubAnswer = Static<typeof GithubAnswer>;

export const ActivityQuery = strictObject({
  days: Type.Optional(Type.Integer({ minimum: 1, maximum: 400, description: "30 unless told" })),
});

const Maybe = { text: Type.Union([Type.String(), Type.Null()]), time: Type.Union([Timestamp, Type.Null()]) };
const sums = {
  requests: Type.Integer(),
  failed: Type.Integer({ description: "requests with an attempt that did not end well" }),
  input_tokens: Type.Integer(),
  output_tokens: Type.Integer(),
  cost_nanos: Nanos,
  first_at: Maybe.time,
  last_at: Maybe.time,
};

export const KeyActivity = strictObject({
  key_id: Type.String(),
  from: Timestamp,
  to: Timestamp,
  usage: strictObject({
    ...sums,
    by_model: Type.Array(strictObject({ endpoint: Type.String(), model: Type.String(), ...sums })),
    by_day: Type.Array(strictObject({ day: Type.String({ description: "a day of UTC: 2026-11-23" }), ...sums })),
    last_calls: Type.Array(
      strictObject({
        request_id: Type.String(),
        attempt: Type.Integer(),
        occurred_at: Timestamp,
        endpoint: Type.String(),
        model: Type.String(),
        outcome: Type.String(),
        http_status: Type.Union([Type.Integer(), Type.Null()]),
        cost_nanos: Nanos,
      }),
      { description: "the newest 100, newest first" },
    ),
  }),
  audit: strictObject({
    entries: Type.Array(
      strictObject({
        id: Type.String({ description: "evt_…" }),
        recorded_at: Timestamp,
        action: Type.String(),
        outcome: Type.String(),
        by_key: Type.Boolean({ description: "true: the key did it; false: it was done to the key" }),
        actor: Type.Record(Type.String(), Type.Unknown()),
        targets: Type.Array(Type.Unknown()),
        request_id: Maybe.text,
      }),
      { description: "the newest 200, newest first" },
    ),
    has_more: Type.Boolean(),
  }),
  decisions: Type.Array(
    strictObject({
      version: Type.Integer({ description: "which of the key's secrets" }),
      service: Type.String({ description: "who decided" }),
      outcome: Type.String({ description: "valid, or why it was refused" }),
      uses: Type.Integer(),
      first_hour: Timestamp,
      last_hour: Timestamp,
    }),
    { description: "whoever still shows a secret after its end is seen here; written in batches, so some seconds late" },
  ),
  secrets: Type.Array(strictObject({ version: Type.Integer(), prefix: Type.String(), last_used_at: Maybe.time })),
});
export type KeyActivity = Static<typeof KeyActivity>;
