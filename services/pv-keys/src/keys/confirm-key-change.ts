import type { AuditWriter } from "@nexus/audit";
import type { Key } from "@nexus/contracts/keys";
import type { Receipt } from "@nexus/contracts/receipts";
import type { RequestContext } from "@nexus/http";
import { auditReceipt } from "../receipts/audit-receipt.ts";
import { awaitReceipt, type ReceiptDeps } from "../receipts/await-receipt.ts";
import type { KeyManager } from "./key-manager.ts";

interface ChangedKeys {
  /** Of one change: the last revision stands for all. */
  keys: readonly (Pick<Key, "id" | "rev"> & { kind?: Key["kind"] })[];
  /** True where keys were revoked: what the audit log calls it. */
  revoked: boolean;
  manager: KeyManager;
  context: RequestContext;
}

/** Waits until the change of these keys is known everywhere, two seconds at most, and writes down how long that took. */
export async function confirmKeyChange(
  deps: ReceiptDeps & { audit: AuditWriter },
  { keys, revoked, manager, context }: ChangedKeys,
): Promise<Receipt> {
  const receipt = await awaitReceipt(deps, {
    rev: Math.max(0, ...keys.map(({ rev }) => rev)),
    // Root and service keys are of no use to a process that is blind.
    endsWithLease: keys.every(({ kind }) => kind === "rk" || kind === "svc"),
  });
  await auditReceipt(
    deps,
    {
      action: `key.${revoked ? "revocation" : "change"}_${receipt.confirmed ? "confirmed" : "unconfirmed"}`,
      organizationId: manager.organizationId,
      actor: manager.actor,
      targets: keys.map(({ id }) => ({ kind: "key", id })),
      context,
    },
    receipt,
  );
  return receipt;
}
