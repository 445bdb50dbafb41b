/**
 * The receipt of a change: who has applied it, and until when the others may not have. A verifier that does not answer stops
 * relying on what it knew by itself, when its lease is over; nothing here depends on anybody's wall clock.
 */
import type { Clock } from "@nexus/core";
import { leaseMs } from "./lease-clock.ts";
import { type LeaseWatch, marginMs, type SeenLease } from "./watch-leases.ts";

export interface NodeConfirmation {
  node: string;
  service: string;
  /** `applied`: refuses it. `run_out`: has heard nothing for so long that it relies on nothing. `pending`: may not know yet. */
  state: "applied" | "run_out" | "pending";
  /** Milliseconds from the commit until this was known. */
  elapsedMs: number;
  /** For `pending`: from then on it refuses as well; milliseconds since 1970. */
  until?: number;
}

export interface Receipt {
  rev: number;
  /** From now on no check that starts anywhere goes by what was before. */
  confirmed: boolean;
  elapsedMs: number;
  nodes: NodeConfirmation[];
}

export interface CommittedChange {
  /** Of the feed that has the change; may still be on its way, so that nobody waits for it alone. */
  generation: string | Promise<string>;
  rev: number;
  /** Monotonic milliseconds after the commit was known. */
  committedAt: number;
  /** True for what nobody may go on with when the lease is over, whatever its blind seconds: admin-class keys, freezes. */
  endsWithLease: boolean;
}

/** Longest wait for verifiers that may have lost their connections. */
const longestWaitMs = 2000;
const askAgainMs = 100;

interface Deps {
  watch: LeaseWatch;
  clock: Clock;
}

/** @throws when PostgreSQL cannot say who the verifiers are */
export async function confirmChange(deps: Deps, change: CommittedChange): Promise<Receipt> {
  const { watch, clock } = deps;
  // Listed after the commit: whoever is not in it makes its lease later, and so reads a feed that has the change.
  const [generation, listed] = await Promise.all([change.generation, watch.list()]);
  let leases = listed;
  let listedAt = clock.monotonic();
  for (;;) {
    const now = clock.monotonic();
    const nodes = leases.map((lease) => confirmationOf(lease, { ...change, generation }, { ...deps, now }));
    const elapsedMs = now - change.committedAt;
    const confirmed = nodes.every(({ state }) => state !== "pending");
    if (confirmed || elapsedMs >= longestWaitMs) return { rev: change.rev, confirmed, elapsedMs: round(elapsedMs), nodes };
    await watch.untilNews(Math.min(askAgainMs, longestWaitMs - elapsedMs));
    if (clock.monotonic() - listedAt < askAgainMs) continue;
    leases = await listedAgain(watch, leases);
    listedAt = clock.monotonic();
  }
}

/** The same leases as they are now; one whose row is gone stays as it was seen last. */
async function listedAgain(watch: LeaseWatch, leases: readonly SeenLease[]): Promise<SeenLease[]> {
  const now = new Map((await watch.list().catch(() => [])).map((lease) => [lease.verifierId, lease]));
  return leases.map((lease) => now.get(lease.verifierId) ?? lease);
}

function confirmationOf(
  lease: SeenLease,
  change: CommittedChange & { generation: string },
  { watch, clock, now }: Deps & { now: number },
): NodeConfirmation {
  const { node, service } = lease;
  const elapsedMs = round(now - change.committedAt);
  const inRow = lease.generation === change.generation ? lease.appliedRev : 0;
  if (Math.max(inRow, watch.acknowledged(lease.verifierId, change.generation)) >= change.rev) {
    return { node, service, state: "applied", elapsedMs };
  }
  const blindMs = change.endsWithLease ? 0 : lease.blindSeconds * 1000;
  // A renewal that does not know of the change was sent before the commit, and before its row was seen.
  const runsOutAt = Math.min(change.committedAt, lease.seenAt) + leaseMs + blindMs + marginMs;
  if (now >= runsOutAt) return { node, service, state: "run_out", elapsedMs };
  return { node, service, state: "pending", elapsedMs, until: Math.ceil(clock.now() + runsOutAt - now) };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
