/** Many keys at once: all of them or none. */
import { type Static, Type } from "typebox";
import { strictObject } from "./common.ts";
import { KeyEnvironment, KeyKind, Tag } from "./key-fields.ts";
import { CreatedKey, Key, keySections, OwnerFilter } from "./keys.ts";

export const BulkCreateRequest = strictObject({
  keys: Type.Array(strictObject({ ...keySections, kind: Type.Optional(KeyKind) }), { minItems: 1, maxItems: 100 }),
});
export type BulkCreateRequest = Static<typeof BulkCreateRequest>;
export const BulkCreated = strictObject({ data: Type.Array(CreatedKey, { description: "in the order of the request" }) });
export type BulkCreated = Static<typeof BulkCreated>;

export const BulkRevokeRequest = strictObject({
  ids: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 1000 })),
  filter: Type.Optional(
    strictObject(
      { tag: Type.Optional(Tag), owner: Type.Optional(OwnerFilter), environment: Type.Optional(KeyEnvironment) },
      { description: "keys that fit all that is named; the oldest 1,000 of them" },
    ),
  ),
});
export type BulkRevokeRequest = Static<typeof BulkRevokeRequest>;
export const BulkRevoked = strictObject({
  revoked: Type.Array(strictObject({ id: Type.String(), rev: Type.Integer() })),
  unchanged: Type.Integer({ description: "how many were revoked before" }),
  has_more: Type.Boolean({ description: "true when more keys fit the filter: send it again" }),
});
export type BulkRevoked = Static<typeof BulkRevoked>;

/** The last three fields are checked row by row, so that a refusal can name every row that is wrong. */
export const ImportKeysRequest = strictObject({
  keys: Type.Array(
    strictObject({
      ...keySections,
      sha256: Type.String({ maxLength: 200, description: "SHA-256 of the whole foreign key: 64 hex digits" }),
      prefix: Type.String({
        maxLength: 200,
        description: "what may be shown: the format's prefix and at most 8 characters more",
      }),
      format: Type.String({ maxLength: 200, description: "name of a registered format" }),
    }),
    { minItems: 1, maxItems: 1000 },
  ),
});
export type ImportKeysRequest = Static<typeof ImportKeysRequest>;
export const ImportedKeys = strictObject({ data: Type.Array(Key, { description: "in the order of the request" }) });
export type ImportedKeys = Static<typeof ImportedKeys>;
