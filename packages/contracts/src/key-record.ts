/** What a verifier knows of a key, and how it asks. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";
import { FreezeKind } from "./freezes.ts";

export const RateWindow = strictObject({
  name: Type.String({ minLength: 1, maxLength: 32, pattern: "^[a-z][a-z0-9_-]*$", description: "stands in RateLimit headers" }),
  limit: Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: "uses that one window allows" }),
  window_seconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
});
export type RateWindow = Static<typeof RateWindow>;

export const Quota = strictObject({
  limit: Type.Integer({ minimum: 1, maximum: 1_000_000_000_000, description: "uses in a period" }),
  refill: Type.Union([Type.Literal("never"), Type.Literal("day"), Type.Literal("week"), Type.Literal("month")], {
    description: "periods of the calendar in UTC; a week begins on Monday",
  }),
});
export type Quota = Static<typeof Quota>;

export const keyFacts = {
  key_id: Type.String(),
  organization_id: Type.String(),
  owner: strictObject({
    kind: Type.Union([Type.Literal("user"), Type.Literal("organization"), Type.Literal("service")]),
    id: Type.Union([Type.String(), Type.Null()], { description: "usr_… for a person's key" }),
  }),
  kind: Type.Union([Type.Literal("sk"), Type.Literal("rk"), Type.Literal("svc")]),
  environment: Type.Union([Type.Literal("live"), Type.Literal("test")]),
  version: Type.Integer({ minimum: 1, description: "which of the key's secrets this is" }),
  expires_at: Type.Union([Timestamp, Type.Null()], { description: "the earlier of the key's own end and this secret's" }),
  scopes: Type.Array(Type.String()),
  models: Type.Union([Type.Array(Type.String()), Type.Null()], { description: "null: every model" }),
  ip_allow: Type.Union([Type.Array(Type.String()), Type.Null()], { description: "null: from anywhere" }),
  limits: Type.Array(RateWindow),
  concurrency: Type.Union([Type.Integer(), Type.Null()], { description: "calls under way at once; null: no bound" }),
  quota: Type.Union([Quota, Type.Null()]),
  budget_ids: Type.Array(Type.String()),
  tags: Type.Array(Type.String()),
  created_at: Timestamp,
  rev: Type.Integer({ description: "change feed revision of the key's last change" }),
};

export const KeyRecord = strictObject({
  ...keyFacts,
  state: Type.Union([Type.Literal("active"), Type.Literal("disabled"), Type.Literal("revoked")]),
});
export type KeyRecord = Static<typeof KeyRecord>;

/** `POST /v1/keys/lookup`, on the private listener. The key itself never travels: whoever asks knows its SHA-256. */
export const LookupKeyRequest = strictObject({
  digest: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$", description: "SHA-256 of the whole key, base64url" }),
  min_rev: Type.Integer({ minimum: 0, description: "the answer must know everything up to this revision" }),
});
export type LookupKeyRequest = Static<typeof LookupKeyRequest>;

export const FrozenTarget = strictObject({
  kind: FreezeKind,
  target: Type.String({ description: "empty for everything" }),
});
export type FrozenTarget = Static<typeof FrozenTarget>;

export const LookupKeyAnswer = strictObject({
  key: Type.Union([KeyRecord, Type.Null()], { description: "null: no such key" }),
  generation: Type.String({ description: "of the change feed" }),
  as_of: Type.Integer({ description: "the revision up to which the answer is true" }),
  freezes: Type.Optional(
    Type.Array(FrozenTarget, {
      description: "what is frozen within the key's organization, for whoever cannot follow the change feed",
    }),
  ),
});
export type LookupKeyAnswer = Static<typeof LookupKeyAnswer>;
