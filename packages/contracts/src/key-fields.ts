/** What a key carries, field by field, with the bounds of each: the same where a key is made, changed, imported and shown. */
import { type Static, type TSchema, Type } from "typebox";
import { printable, strictObject, Timestamp } from "./common.ts";

function orNull<T extends TSchema>(schema: T, description: string) {
  return Type.Union([schema, Type.Null()], { description });
}

export const KeyKind = Type.Union([Type.Literal("sk"), Type.Literal("rk"), Type.Literal("svc")], {
  description:
    "sk: a person's or organization's key. rk: a root key, which manages the organization's keys by this API. svc: for a service of yours, made by administrators.",
});
export const KeyEnvironment = Type.Union([Type.Literal("live"), Type.Literal("test")]);
export const KeyState = Type.Union([
  Type.Literal("active"),
  Type.Literal("disabled"),
  Type.Literal("revoked"),
  Type.Literal("expired"),
]);
export const KeyOwnerKind = Type.Union([Type.Literal("user"), Type.Literal("organization"), Type.Literal("service")]);

export const KeyName = Type.String({ minLength: 1, maxLength: 200, pattern: printable });
export const Scope = Type.String({
  pattern: "^(?:\\*|[a-z]+:(?:\\*|[a-z_]+))$",
  maxLength: 100,
  description: "area:action, area:* or *",
  "x-must": "be area:action such as ai:chat, area:* or *",
});
export const Scopes = Type.Array(Scope, {
  maxItems: 50,
  description: "for sk: ai:* and usage:read unless told; the others must name theirs",
});
const Model = Type.String({ minLength: 1, maxLength: 200, pattern: printable });
export const Models = orNull(Type.Array(Model, { maxItems: 200 }), "null: every model");
export const Tag = Type.String({ minLength: 1, maxLength: 64, pattern: printable });
export const Tags = Type.Array(Tag, { maxItems: 50 });

export const IpAllow = orNull(
  Type.Array(Type.String({ minLength: 2, maxLength: 64 }), { minItems: 1, maxItems: 100 }),
  "addresses and CIDR blocks, IPv4 or IPv6, without bits beyond the mask; null: from anywhere",
);

export const KeyLimit = strictObject({
  name: Type.String({
    pattern: "^[a-z][a-z0-9_-]{0,31}$",
    description: "unique among the key's limits",
    "x-must": "begin with a letter a–z and hold at most 32 of a–z, 0–9, - and _",
  }),
  limit: Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: "uses in a window" }),
  window_seconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
});
export type KeyLimit = Static<typeof KeyLimit>;
export const KeyLimits = Type.Array(KeyLimit, { maxItems: 8, description: "rate limits; all of them hold at once" });

export const Concurrency = orNull(Type.Integer({ minimum: 1, maximum: 1_000_000 }), "calls under way at once; null: no bound");

export const KeyQuota = strictObject({
  limit: Type.Integer({ minimum: 1, maximum: 1_000_000_000_000, description: "uses in a period" }),
  refill: Type.Union([Type.Literal("never"), Type.Literal("day"), Type.Literal("week"), Type.Literal("month")], {
    description: "at the start of the UTC day, of Monday, or of the month",
  }),
});
export type KeyQuota = Static<typeof KeyQuota>;
export const Quota = orNull(KeyQuota, "null: no quota");

export const BudgetIds = Type.Array(
  Type.String({
    pattern: "^bud_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "x-must": "be the id of a budget, bud_…",
  }),
  { maxItems: 20 },
);
export const Metadata = Type.Record(Type.String(), Type.Unknown(), { description: "at most 16 kB as JSON" });
export const ExpiresAt = orNull(Timestamp, "90 days from now unless told; null: never");

/** Fields of every request whose answer reveals a secret. */
export const deliveryFields = {
  deliver: Type.Optional(
    Type.Union([Type.Literal("answer"), Type.Literal("link")], {
      description: "link: the answer holds a link that shows the secret once, instead of the secret",
    }),
  ),
  link_seconds: Type.Optional(
    Type.Integer({ minimum: 60, maximum: 604_800, description: "how long the link works; a day unless told, at most a week" }),
  ),
};
