/** Answers of what changes keys: with `wait=1` they carry the receipt. */
import { Type } from "typebox";
import { BulkRevoked } from "./bulk-keys.ts";
import { strictObject } from "./common.ts";
import { SharedKey } from "./key-shares.ts";
import { CreatedKey, Key } from "./keys.ts";
import { Receipt } from "./receipts.ts";

const receipt = Type.Optional(Receipt);

export const ChangedKey = strictObject({ key: Key, receipt });
export const RotatedKey = Type.Union([
  strictObject({ ...CreatedKey.properties, receipt }),
  strictObject({ ...SharedKey.properties, receipt }),
]);
export const ConfirmedBulkRevoked = strictObject({ ...BulkRevoked.properties, receipt });
