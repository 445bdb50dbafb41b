/** `POST /v1/keys/verify`: an invalid key is an answer, not an error. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";

export const VerifyKeyRequest = strictObject({
  key: Type.String({ description: "the key as the caller presented it; whatever it is, it is answered" }),
  scope: Type.Optional(Type.String({ maxLength: 100, description: "a scope that the key must hold" })),
});
export type VerifyKeyRequest = Static<typeof VerifyKeyRequest>;

export const ValidKey = strictObject({
  valid: Type.Literal(true),
  key_id: Type.String(),
  organization_id: Type.String(),
  owner: strictObject({
    kind: Type.Union([Type.Literal("user"), Type.Literal("organization"), Type.Literal("service")]),
    id: Type.Union([Type.String(), Type.Null()], { description: "usr_… for a person's key" }),
  }),
  state: Type.Literal("active"),
  expires_at: Type.Union([Timestamp, Type.Null()]),
  scopes: Type.Array(Type.String()),
  models: Type.Union([Type.Array(Type.String()), Type.Null()], { description: "null: every model" }),
  ip_allow: Type.Union([Type.Array(Type.String()), Type.Null()], { description: "null: from anywhere" }),
  limits: Type.Array(Type.Unknown()),
  budget_ids: Type.Array(Type.String()),
  rev: Type.Integer({ description: "change feed revision of the key's last change" }),
});
export type ValidKey = Static<typeof ValidKey>;

const RefusalCode = Type.Union([
  Type.Literal("not_found"),
  Type.Literal("revoked"),
  Type.Literal("expired"),
  Type.Literal("disabled"),
  Type.Literal("rate_limited"),
  Type.Literal("quota_exceeded"),
  Type.Literal("insufficient_scope"),
  Type.Literal("ip_not_allowed"),
]);

export const RefusedKey = strictObject({ valid: Type.Literal(false), code: RefusalCode });
export type RefusedKey = Static<typeof RefusedKey>;

export const VerifyKeyAnswer = Type.Union([ValidKey, RefusedKey]);
export type VerifyKeyAnswer = Static<typeof VerifyKeyAnswer>;
