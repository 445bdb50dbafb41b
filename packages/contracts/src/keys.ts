/** The API of pv-keys. Limits, quotas and address lists come with their enforcement; what is not enforced is not accepted. */
import { type Static, Type } from "typebox";
import { page, pageQuery, strictObject, Timestamp } from "./common.ts";

const KeyKind = Type.Union([Type.Literal("sk"), Type.Literal("rk"), Type.Literal("svc")], {
  description:
    "sk: a person's or organization's key. rk: restricted to the scopes named. svc: for a service of yours, made by administrators.",
});
const Environment = Type.Union([Type.Literal("live"), Type.Literal("test")]);
const State = Type.Union([Type.Literal("active"), Type.Literal("disabled"), Type.Literal("revoked"), Type.Literal("expired")]);
const Scope = Type.String({
  pattern: "^(?:\\*|[a-z]+:(?:\\*|[a-z_]+))$",
  maxLength: 100,
  description: "area:action, area:* or *",
});
/** One line without control characters: it stands in tables and logs. */
const printable = "^[^\\u0000-\\u001f\\u007f]*$";
const Model = Type.String({ minLength: 1, maxLength: 200, pattern: printable });
const Tag = Type.String({ minLength: 1, maxLength: 64, pattern: printable });

export const Key = strictObject({
  id: Type.String({ description: "key_…: public, and the same for ever" }),
  organization_id: Type.String(),
  owner: strictObject({ kind: Type.String(), id: Type.Union([Type.String(), Type.Null()]) }),
  name: Type.String(),
  kind: KeyKind,
  environment: Environment,
  prefix: Type.String({ description: "the part of the secret that may be shown: pv_sk_live_ab12cd34ef" }),
  state: State,
  scopes: Type.Array(Scope),
  models: Type.Union([Type.Array(Model), Type.Null()], { description: "null: every model" }),
  metadata: Type.Record(Type.String(), Type.Unknown()),
  tags: Type.Array(Tag),
  expires_at: Type.Union([Timestamp, Type.Null()]),
  created_at: Timestamp,
  updated_at: Timestamp,
  revoked_at: Type.Union([Timestamp, Type.Null()]),
  rev: Type.Integer({ description: "change feed revision of the last change" }),
});
export type Key = Static<typeof Key>;

export const CreateKeyRequest = strictObject({
  name: Type.String({ minLength: 1, maxLength: 200, pattern: printable }),
  kind: Type.Optional(KeyKind),
  environment: Type.Optional(Environment),
  scopes: Type.Optional(
    Type.Array(Scope, { maxItems: 50, description: "for sk: ai:* and usage:read unless told; the others must name theirs" }),
  ),
  models: Type.Optional(Type.Union([Type.Array(Model, { maxItems: 200 }), Type.Null()])),
  metadata: Type.Optional(Type.Record(Type.String({ maxLength: 200 }), Type.Unknown(), { description: "at most 16 kB as JSON" })),
  tags: Type.Optional(Type.Array(Tag, { maxItems: 50 })),
  expires_at: Type.Optional(Type.Union([Timestamp, Type.Null()], { description: "90 days from now unless told; null: never" })),
});
export type CreateKeyRequest = Static<typeof CreateKeyRequest>;

export const CreatedKey = strictObject({
  key: Key,
  secret: Type.String({ description: "the whole key, revealed this once", "x-secret": true }),
});
export type CreatedKey = Static<typeof CreatedKey>;

/** `key_…`; anything else is answered as an unknown key. */
export const KeyParams = strictObject({ id: Type.String({ maxLength: 64 }) });

/** Routes without options refuse every option: one that is not there yet must not look obeyed. */
export const NoOptions = strictObject({});

export const KeyAnswer = strictObject({ key: Key });

export const ListKeysQuery = strictObject({
  ...pageQuery,
  state: Type.Optional(State),
  environment: Type.Optional(Environment),
});
export type ListKeysQuery = Static<typeof ListKeysQuery>;
export const KeyPage = page(Key);
