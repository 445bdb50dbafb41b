import type { Key } from "@nexus/contracts/keys";
import { changeKey, type ChangeInput, type ChangeKeyDeps } from "./change-key.ts";

/** Ends a key for ever. Revoking it again changes nothing and answers the same. @throws Problem `not_found`, `forbidden` */
export async function revokeKey(deps: ChangeKeyDeps, input: ChangeInput): Promise<Key> {
  return await changeKey(deps, { ...input, narrows: true }, (_tx, before, at) => {
    if (before.state === "revoked") return undefined;
    return {
      action: "key.revoked",
      ends: { state: "revoked", revoked_at: at, updated_at: at },
      details: { before: { state: before.state }, after: { state: "revoked" } },
    };
  });
}
