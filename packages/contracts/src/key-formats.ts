/** Shapes of foreign keys that may be imported by their hash: they have no checksum of ours, so verifiers must know them. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";

const FormatName = Type.String({ pattern: "^[a-z][a-z0-9_-]{0,62}$" });
const fields = {
  name: FormatName,
  prefix: Type.String({
    minLength: 1,
    maxLength: 32,
    pattern: "^[!-~]+$",
    description: "what every such key begins with; not that of our own keys",
  }),
  min_length: Type.Integer({ minimum: 16, maximum: 512, description: "of the whole key; at least 24 more than the prefix" }),
  max_length: Type.Integer({ minimum: 16, maximum: 512, description: "of the whole key" }),
  alphabet: Type.Union([Type.Literal("base62"), Type.Literal("base64url"), Type.Literal("hex"), Type.Literal("printable")], {
    description: "of what follows the prefix",
  }),
};

export const CreateKeyFormatRequest = strictObject(fields);
export type CreateKeyFormatRequest = Static<typeof CreateKeyFormatRequest>;

export const KeyFormat = strictObject({ ...fields, created_at: Timestamp });
export type KeyFormat = Static<typeof KeyFormat>;

export const KeyFormatAnswer = strictObject({ format: KeyFormat });
export const KeyFormatList = strictObject({ data: Type.Array(KeyFormat, { description: "by name; there are at most 100" }) });
export const KeyFormatParams = strictObject({ name: FormatName });
