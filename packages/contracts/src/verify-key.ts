/** `POST /v1/keys/verify`: an invalid key is an answer, not an error. */
import { type Static, Type } from "typebox";
import { strictObject } from "./common.ts";
import { keyFacts } from "./key-record.ts";

export const VerifyKeyRequest = strictObject({
  key: Type.String({ description: "the key as the caller presented it; whatever it is, it is answered" }),
  scope: Type.Optional(Type.String({ maxLength: 100, description: "a scope that the key must hold" })),
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: "a model that the key must be allowed" })),
  ip: Type.Optional(
    Type.String({
      maxLength: 64,
      description: "the address that the key came from; without it, a key bound to addresses is refused",
    }),
  ),
  cost: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1000,
      description: "uses taken from the key's limits and quota; 1 unless told, 0 only asks",
    }),
  ),
});
export type VerifyKeyRequest = Static<typeof VerifyKeyRequest>;

export const ValidKey = strictObject({ valid: Type.Literal(true), ...keyFacts, state: Type.Literal("active") });
export type ValidKey = Static<typeof ValidKey>;

const LimitState = strictObject({
  name: Type.String(),
  limit: Type.Integer(),
  window_seconds: Type.Number(),
  remaining: Type.Integer({ minimum: 0 }),
  reset_ms: Type.Integer({ minimum: 0, description: "until `remaining` grows again" }),
});
export type LimitState = Static<typeof LimitState>;

const RefusalCode = Type.Union([
  Type.Literal("not_found"),
  Type.Literal("revoked"),
  Type.Literal("expired"),
  Type.Literal("disabled"),
  Type.Literal("frozen"),
  Type.Literal("rate_limited"),
  Type.Literal("quota_exceeded"),
  Type.Literal("insufficient_scope"),
  Type.Literal("model_not_allowed"),
  Type.Literal("ip_not_allowed"),
]);

/** Where the key itself stands: what a verifier knows by itself. */
export const RefusedKey = strictObject({ valid: Type.Literal(false), code: RefusalCode });
export type RefusedKey = Static<typeof RefusedKey>;
export type KeyAnswer = ValidKey | RefusedKey;

const limitStates = {
  limit_states: Type.Optional(Type.Array(LimitState, { description: "for a key with limits: how they stand after this use" })),
};

export const VerifyKeyAnswer = Type.Union([
  strictObject({ ...ValidKey.properties, ...limitStates }),
  strictObject({
    ...RefusedKey.properties,
    ...limitStates,
    retry_after_ms: Type.Optional(Type.Integer({ minimum: 0, description: "from then on the same use may pass" })),
  }),
]);
export type VerifyKeyAnswer = Static<typeof VerifyKeyAnswer>;

const mostAtOnce = 100;

export const VerifyKeysRequest = strictObject({ requests: Type.Array(VerifyKeyRequest, { minItems: 1, maxItems: mostAtOnce }) });
export type VerifyKeysRequest = Static<typeof VerifyKeysRequest>;
export const VerifyKeysAnswer = strictObject({
  results: Type.Array(VerifyKeyAnswer, { description: "one for each request, in their order" }),
});
export type VerifyKeysAnswer = Static<typeof VerifyKeysAnswer>;

/** `GET /v1/keys/whoami`: what the key at hand is and may do. */
export const WhoAmI = strictObject({ ...keyFacts, state: Type.Literal("active") });
export type WhoAmI = Static<typeof WhoAmI>;
