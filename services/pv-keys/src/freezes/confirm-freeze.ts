import type { AuditWriter } from "@nexus/audit";
import type { Freeze, FreezeAnswer } from "@nexus/contracts/freezes";
import { auditReceipt } from "../receipts/audit-receipt.ts";
import { awaitReceipt, type ReceiptDeps } from "../receipts/await-receipt.ts";
import type { FreezeInput } from "./record-freeze-change.ts";

/**
 * Waits until the freeze or the thaw holds everywhere, two seconds at most, and writes down how long that took. Of what had
 * changed nothing only the receipt is given: its time counts from the question.
 */
export async function confirmFreeze(
  deps: ReceiptDeps & { audit: AuditWriter },
  { freeze, isNew }: { freeze: Freeze; isNew: boolean },
  { freezer, context }: FreezeInput,
): Promise<FreezeAnswer> {
  // A blind process goes on with the keys that it knows, and knows no freeze that came later: so it is waited for.
  const receipt = await awaitReceipt(deps, { rev: freeze.rev, endsWithLease: false });
  if (isNew) {
    const entry = {
      action: `${freeze.thawed_at ? "thaw" : "freeze"}.${receipt.confirmed ? "effective" : "unconfirmed"}`,
      organizationId: freezer.organizationId,
      actor: freezer.actor,
      targets: [{ kind: "freeze", id: freeze.id }],
      context,
    };
    await auditReceipt(deps, entry, receipt);
  }
  return { freeze, effective_after_ms: receipt.confirmed ? receipt.elapsed_ms : null, receipt };
}
