import type { Key } from "@nexus/contracts/keys";
import { changeKey, type ChangeInput, type ChangeKeyDeps, requireNotRevoked } from "./change-key.ts";
import { updateKeyRow } from "./keys.store.ts";

/**
 * Disables a key for a while, or enables it again; what is so already stays as it is. An expired key is switched like any
 * other and is refused as expired either way.
 * @throws Problem `not_found`, `forbidden`, `conflict` for a revoked key
 */
export async function switchKey(deps: ChangeKeyDeps, input: ChangeInput, to: "active" | "disabled"): Promise<Key> {
  return await changeKey(deps, { ...input, narrows: to === "disabled" }, async (tx, before, at) => {
    requireNotRevoked(before);
    if ((before.state === "disabled") === (to === "disabled")) return undefined;
    const details = { before: { state: before.state }, after: { state: to } };
    if (to === "disabled") return { action: "key.disabled", ends: { state: to, updated_at: at }, details };
    await updateKeyRow(tx, before.id, { state: to, updated_at: at });
    return { action: "key.enabled", details };
  });
}
