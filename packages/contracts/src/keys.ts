/** The API of pv-keys for one key: make, read, change, rotate, end. */
import { type Static, Type } from "typebox";
import { page, pageQuery, strictObject, Timestamp } from "./common.ts";
import {
  BudgetIds,
  Concurrency,
  deliveryFields,
  ExpiresAt,
  IpAllow,
  KeyEnvironment,
  KeyKind,
  KeyLimit,
  KeyLimits,
  KeyName,
  KeyOwnerKind,
  KeyState,
  Metadata,
  Models,
  Quota,
  Scope,
  Scopes,
  Tag,
  Tags,
} from "./key-fields.ts";

export const KeyVersion = strictObject({
  version: Type.Integer({ description: "1 for the first secret; each rotation adds one" }),
  prefix: Type.String({ description: "the part of this secret that may be shown" }),
  format: Type.Union([Type.String(), Type.Null()], { description: "the foreign format of an imported key; null: a key of ours" }),
  created_at: Timestamp,
  last_used_at: Type.Union([Timestamp, Type.Null()], { description: "written in batches, so some seconds late" }),
  retires_at: Type.Union([Timestamp, Type.Null()], {
    description: "from then on this secret is refused; null: it is the newest",
  }),
  drained: Type.Boolean({
    description: "retired, or quiet: a newer secret has been there for an hour and this one was not used within the last hour",
  }),
});
export type KeyVersion = Static<typeof KeyVersion>;

export const Key = strictObject({
  id: Type.String({ description: "key_…: public, and the same for ever" }),
  organization_id: Type.String(),
  owner: strictObject({
    kind: KeyOwnerKind,
    id: Type.Union([Type.String(), Type.Null()], { description: "usr_… for a person's" }),
  }),
  name: Type.String(),
  kind: KeyKind,
  environment: KeyEnvironment,
  prefix: Type.String({ description: "the part of the newest secret that may be shown: pv_sk_live_ab12cd34ef" }),
  state: KeyState,
  scopes: Type.Array(Scope),
  models: Models,
  ip_allow: IpAllow,
  limits: Type.Array(KeyLimit),
  concurrency: Concurrency,
  quota: Quota,
  budget_ids: Type.Array(Type.String()),
  metadata: Type.Record(Type.String(), Type.Unknown()),
  tags: Type.Array(Tag),
  expires_at: Type.Union([Timestamp, Type.Null()]),
  versions: Type.Array(KeyVersion, { description: "the newest ten secrets, newest first; all that still work are among them" }),
  created_at: Timestamp,
  updated_at: Timestamp,
  revoked_at: Type.Union([Timestamp, Type.Null()]),
  rev: Type.Integer({ description: "change feed revision of the last change" }),
});
export type Key = Static<typeof Key>;

/** What may be said of a key from its making on; the same for keys that are imported. */
export const keySections = {
  name: KeyName,
  environment: Type.Optional(KeyEnvironment),
  owner: Type.Optional(
    strictObject(
      { kind: KeyOwnerKind, id: Type.Optional(Type.String({ maxLength: 64 })) },
      { description: "yourself unless told; organization: the key lives on when you are gone; service: for svc keys alone" },
    ),
  ),
  scopes: Type.Optional(Scopes),
  models: Type.Optional(Models),
  ip_allow: Type.Optional(IpAllow),
  limits: Type.Optional(KeyLimits),
  concurrency: Type.Optional(Concurrency),
  quota: Type.Optional(Quota),
  budget_ids: Type.Optional(BudgetIds),
  metadata: Type.Optional(Metadata),
  tags: Type.Optional(Tags),
  expires_at: Type.Optional(ExpiresAt),
};
export const KeySections = strictObject(keySections);
export type KeySections = Static<typeof KeySections>;

export const CreateKeyRequest = strictObject({ ...keySections, kind: Type.Optional(KeyKind), ...deliveryFields });
export type CreateKeyRequest = Static<typeof CreateKeyRequest>;

export const CreatedKey = strictObject({
  key: Key,
  secret: Type.String({ description: "the whole key, revealed this once", "x-secret": true }),
});
export type CreatedKey = Static<typeof CreatedKey>;

/** JSON Merge Patch (RFC 7396): what is absent stays; in `metadata` member by member, everything else as a whole. */
export const UpdateKeyRequest = strictObject({
  name: Type.Optional(KeyName),
  scopes: Type.Optional(Scopes),
  models: Type.Optional(Models),
  ip_allow: Type.Optional(IpAllow),
  limits: Type.Optional(KeyLimits),
  concurrency: Type.Optional(Concurrency),
  quota: Type.Optional(Quota),
  budget_ids: Type.Optional(BudgetIds),
  metadata: Type.Optional(
    Type.Union([Metadata, Type.Null()], { description: "a member that is null is removed; null: all of them" }),
  ),
  tags: Type.Optional(Tags),
  expires_at: Type.Optional(Type.Union([Timestamp, Type.Null()], { description: "null: never" })),
  if_rev: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: "refused with 409 unless the key still has this rev",
    }),
  ),
});
export type UpdateKeyRequest = Static<typeof UpdateKeyRequest>;

export const RotateKeyRequest = strictObject({
  overlap_seconds: Type.Integer({
    minimum: 0,
    maximum: 2_592_000,
    description: "how long older secrets still work; 0: not a moment. At most 30 days, and never longer than they had left",
  }),
  ...deliveryFields,
});
export type RotateKeyRequest = Static<typeof RotateKeyRequest>;

/** `key_…`; anything else is answered as an unknown key. */
export const KeyParams = strictObject({ id: Type.String({ maxLength: 64 }) });

/** Routes without options refuse every option: one that is not there yet must not look obeyed. */
export const NoOptions = strictObject({});

export const KeyAnswer = strictObject({ key: Key });

/** `organization`, `service` or the id of a person. */
export const OwnerFilter = Type.String({
  maxLength: 64,
  pattern: "^(?:organization|service|usr_.+)$",
  description: "organization, service or usr_…",
  "x-must": "be organization, service or usr_…",
});

export const ListKeysQuery = strictObject({
  ...pageQuery,
  state: Type.Optional(KeyState),
  environment: Type.Optional(KeyEnvironment),
  kind: Type.Optional(KeyKind),
  owner: Type.Optional(OwnerFilter),
  tag: Type.Optional(Tag),
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: "part of the name, in any case" })),
  expires_before: Type.Optional(Timestamp),
  unused_since: Type.Optional(
    Type.String({ format: "date-time", description: "made before then, and none of its secrets used since" }),
  ),
});
export type ListKeysQuery = Static<typeof ListKeysQuery>;
export const KeyPage = page(Key);
