/** One-time links that hand a key over. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";
import { CreatedKey, Key } from "./keys.ts";

export const SharedKey = strictObject({
  key: Key,
  share: strictObject({
    url: Type.String({ description: "for the one who shall have the key; it works once", "x-secret": true }),
    expires_at: Timestamp,
  }),
});
export type SharedKey = Static<typeof SharedKey>;

/** Answer of what makes a secret, by `deliver`. */
export const CreatedOrSharedKey = Type.Union([CreatedKey, SharedKey]);

export const OpenShareRequest = strictObject({
  token: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$", description: "what follows # in the link", "x-secret": true }),
});
export type OpenShareRequest = Static<typeof OpenShareRequest>;

export const OpenedShare = strictObject({
  secret: Type.String({ description: "the whole key, shown this once", "x-secret": true }),
  name: Type.String(),
  prefix: Type.String(),
  expires_at: Type.Union([Timestamp, Type.Null()], { description: "when the key itself expires" }),
});
export type OpenedShare = Static<typeof OpenedShare>;
