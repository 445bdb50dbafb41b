import type { AuditEntry, AuditWriter } from "@nexus/audit";
import type { Receipt } from "@nexus/contracts/receipts";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";

interface Deps {
  db: Db;
  audit: AuditWriter;
  logger: Logger;
}

/**
 * Writes down how far a change has got. The change itself stands and has its entry: when this one cannot be written, the log
 * says so and the caller still gets the receipt.
 */
export async function auditReceipt(
  deps: Deps,
  entry: Omit<AuditEntry, "outcome" | "details">,
  { rev, elapsed_ms, nodes }: Receipt,
): Promise<void> {
  const details = { rev, elapsed_ms, nodes: nodes.map((node) => ({ ...node })) };
  try {
    await deps.audit.write(deps.db, { ...entry, outcome: "success", details });
  } catch (error) {
    deps.logger.warn({ event: "receipt", action: entry.action, rev, err: error }, "a receipt could not be written down");
  }
}
