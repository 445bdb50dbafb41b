/** What a route says of a change that was committed a moment ago: who acts on it, and who may not know yet. */
import { confirmChange, currentGeneration, type LeaseWatch } from "@nexus/change-feed";
import type { Receipt } from "@nexus/contracts/receipts";
import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Verifier } from "@nexus/key-check";

export interface ReceiptDeps {
  db: Db;
  clock: Clock;
  leases: LeaseWatch;
  verifier: Pick<Verifier, "feed">;
}

/**
 * Waits until every process that decides about keys acts on the change or relies on nothing any more, two seconds at most.
 * @param change.rev of the change, which is committed
 * @param change.endsWithLease true for keys that nobody may go on with blind: root and service keys
 * @throws when PostgreSQL cannot say who the verifiers are
 */
export async function awaitReceipt(deps: ReceiptDeps, change: { rev: number; endsWithLease: boolean }): Promise<Receipt> {
  // Later than the commit, if anything: silence is counted from here, so nobody's is taken for longer than it was.
  const committedAt = deps.clock.monotonic();
  const generation = deps.verifier.feed.position().generation ?? (await currentGeneration(deps.db));
  const receipt = await confirmChange({ watch: deps.leases, clock: deps.clock }, { ...change, generation, committedAt });
  return {
    rev: receipt.rev,
    confirmed: receipt.confirmed,
    elapsed_ms: receipt.elapsedMs,
    nodes: receipt.nodes.map(({ node, service, state, elapsedMs, until }) => ({
      node,
      service,
      state,
      elapsed_ms: elapsedMs,
      ...(until === undefined ? {} : { until: new Date(until).toISOString() }),
    })),
  };
}
