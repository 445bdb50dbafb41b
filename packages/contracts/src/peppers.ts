/** The peppers of the key hashes, by their versions: never what they are. */
import { type Static, Type } from "typebox";
import { strictObject } from "./common.ts";

const PepperUse = strictObject({
  version: Type.Integer({ minimum: 1 }),
  current: Type.Boolean({ description: "makes the hashes of new keys" }),
  held: Type.Boolean({ description: "the process that answers has it" }),
  hashes: Type.Integer({ description: "secrets of keys that were hashed with it" }),
  usable: Type.Integer({
    description: "those of them that are neither revoked nor rotated away; with none its line may leave the configuration",
  }),
});
export const PepperUseList = strictObject({ data: Type.Array(PepperUse, { description: "newest first" }) });
export type PepperUseList = Static<typeof PepperUseList>;
