/** What a route says of a change that was committed a moment ago: who acts on it, and who may not know yet. */
import { confirmChange, currentGeneration, type LeaseWatch, type Receipt as Confirmed } from "@nexus/change-feed";
import type { Receipt } from "@nexus/contracts/receipts";
import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";

export interface ReceiptDeps {
  db: Db;
  clock: Clock;
  leases: LeaseWatch;
  logger: Logger;
}

/**
 * Waits until every process that decides about keys acts on the change or relies on nothing any more, two seconds at most.
 * @param change.rev of the change, which is committed
 * @param change.endsWithLease true for keys that nobody may go on with blind: root and service keys
 * @returns not confirmed, without nodes, when PostgreSQL cannot say any more who the verifiers are: the change stands all the same
 */
export async function awaitReceipt(deps: ReceiptDeps, change: { rev: number; endsWithLease: boolean }): Promise<Receipt> {
  // Later than the commit, if anything: silence is counted from here, so nobody's is taken for longer than it was.
  const committedAt = deps.clock.monotonic();
  try {
    // Asked of the database itself: right after a restore what this process knows of the feed, and what the leases say, is of
    // another one, and more of that was applied than of the new one.
    const generation = currentGeneration(deps.db);
    return present(await confirmChange({ watch: deps.leases, clock: deps.clock }, { ...change, generation, committedAt }));
  } catch (error) {
    deps.logger.warn({ event: "receipt", rev: change.rev, err: error }, "nobody can say who knows of a change");
    return { rev: change.rev, confirmed: false, elapsed_ms: deps.clock.monotonic() - committedAt, nodes: [] };
  }
}

function present({ rev, confirmed, elapsedMs, nodes }: Confirmed): Receipt {
  return {
    rev,
    confirmed,
    elapsed_ms: elapsedMs,
    nodes: nodes.map((node) => ({
      node: node.node,
      service: node.service,
      state: node.state,
      elapsed_ms: node.elapsedMs,
      ...(node.until === undefined ? {} : { until: new Date(node.until).toISOString() }),
    })),
  };
}
