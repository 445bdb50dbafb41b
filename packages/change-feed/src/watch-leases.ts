/**
 * Who verifies, as seen from a process that changes keys: which verifiers there are, how far each is, and which have been
 * silent so long that nothing they may still be doing can count. Silence is measured by this process's own monotonic clock.
 */
import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { openSubscriber, type RedisTarget } from "@nexus/redis";
import { type Acknowledgement, acknowledgementChannel, parseAcknowledgement } from "./change.ts";
import { deleteStaleLease, type LeaseRow, listLeases } from "./feed.store.ts";
import { leaseMs } from "./lease-clock.ts";

/** Added to every span that another process's clock measures: clocks that run at most a few per cent apart agree within it. */
export const marginMs = 50;
/** Silent for its blind time and this long: the process is gone and its row may go. */
const goneMs = 60_000;
const watchEveryMs = 5000;

export interface SeenLease extends LeaseRow {
  /** Monotonic milliseconds at which this process first saw the row as it is: the verifier's last renewal was sent before. */
  seenAt: number;
}

export interface LeaseWatch {
  /** The leases as they stand now. */
  list(): Promise<SeenLease[]>;
  /** The highest revision that the verifier said it has applied in this generation. */
  acknowledged(verifierId: string, generation: string): number;
  /** Resolves at the next acknowledgement, or after the time. */
  untilNews(timeoutMs: number): Promise<void>;
  close(): void;
}

interface Options {
  db: Db;
  redisTarget?: RedisTarget | undefined;
  clock: Clock;
  onError?: (error: unknown) => void;
}

export function openLeaseWatch({ db, redisTarget, clock, onError }: Options): LeaseWatch {
  const list = rememberingList(db, clock);
  const acknowledgements = listenForAcknowledgements(redisTarget);
  const sweep = async (): Promise<void> => {
    const leases = await list();
    acknowledgements.keep(new Set(leases.map(({ verifierId }) => verifierId)));
    for (const lease of leases) {
      const silentMs = clock.monotonic() - lease.seenAt;
      if (silentMs > leaseMs + lease.blindSeconds * 1000 + goneMs) await deleteStaleLease(db, lease);
    }
  };
  const timer = setInterval(() => void sweep().catch((error: unknown) => onError?.(error)), watchEveryMs);
  timer.unref();
  return {
    list,
    acknowledged: acknowledgements.of,
    untilNews: acknowledgements.untilNext,
    close: () => {
      clearInterval(timer);
      acknowledgements.close();
    },
  };
}

/** The leases, each with the moment at which it was first seen as it is. */
function rememberingList(db: Db, clock: Clock): () => Promise<SeenLease[]> {
  let seen = new Map<string, SeenLease>();
  return async () => {
    const leases = await listLeases(db);
    const now = clock.monotonic();
    const list = leases.map((lease): SeenLease => {
      const before = seen.get(lease.verifierId);
      return { ...lease, seenAt: before?.renewals === lease.renewals ? before.seenAt : now };
    });
    seen = new Map(list.map((lease) => [lease.verifierId, lease]));
    return list;
  };
}

function listenForAcknowledgements(target: RedisTarget | undefined) {
  const said = new Map<string, Acknowledgement>();
  const waiting = new Set<() => void>();
  const hear = (message: string): void => {
    const next = parseAcknowledgement(message);
    if (!next) return;
    const before = said.get(next.verifierId);
    if (before?.generation !== next.generation || before.rev < next.rev) said.set(next.verifierId, next);
    for (const wake of waiting) wake();
  };
  const subscriber = target && openSubscriber(target, { [acknowledgementChannel]: hear });
  return {
    of: (verifierId: string, generation: string): number => {
      const last = said.get(verifierId);
      return last?.generation === generation ? last.rev : 0;
    },
    keep: (verifierIds: ReadonlySet<string>): void => {
      for (const id of said.keys()) if (!verifierIds.has(id)) said.delete(id);
    },
    untilNext: async (timeoutMs: number): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timeout = setTimeout(resolve, timeoutMs);
      waiting.add(resolve);
      await promise;
      clearTimeout(timeout);
      waiting.delete(resolve);
    },
    close: (): void => subscriber?.close(),
  };
}
