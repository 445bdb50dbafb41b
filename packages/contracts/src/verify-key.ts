/** `POST /v1/keys/verify`: an invalid key is an answer, not an error. */
import { type Static, Type } from "typebox";
import { strictObject } from "./common.ts";
import { keyFacts } from "./key-record.ts";

export const VerifyKeyRequest = strictObject({
  key: Type.String({ description: "the key as the caller presented it; whatever it is, it is answered" }),
  scope: Type.Optional(Type.String({ maxLength: 100, description: "a scope that the key must hold" })),
});
export type VerifyKeyRequest = Static<typeof VerifyKeyRequest>;

export const ValidKey = strictObject({ valid: Type.Literal(true), ...keyFacts, state: Type.Literal("active") });
export type ValidKey = Static<typeof ValidKey>;

const RefusalCode = Type.Union([
  Type.Literal("not_found"),
  Type.Literal("revoked"),
  Type.Literal("expired"),
  Type.Literal("disabled"),
  Type.Literal("frozen"),
  Type.Literal("rate_limited"),
  Type.Literal("quota_exceeded"),
  Type.Literal("insufficient_scope"),
  Type.Literal("ip_not_allowed"),
]);

export const RefusedKey = strictObject({ valid: Type.Literal(false), code: RefusalCode });
export type RefusedKey = Static<typeof RefusedKey>;

export const VerifyKeyAnswer = Type.Union([ValidKey, RefusedKey]);
export type VerifyKeyAnswer = Static<typeof VerifyKeyAnswer>;
