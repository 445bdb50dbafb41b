/** What the platform says about a change's way to its verifiers. */
import { confirmChange, currentGeneration, openLeaseWatch, type Receipt } from "@nexus/change-feed";
import { systemClock } from "@nexus/core";
import type { Replica } from "./replica.ts";
import type { Scene } from "./scene.ts";

export interface Confirmer {
  /** For a change that the test itself committed. */
  confirm(rev: number): Promise<Receipt>;
  close(): void;
}

export function openConfirmer({ database, redis }: Scene): Confirmer {
  const { db } = database.openOwner();
  const watch = openLeaseWatch({ db, clock: systemClock, redisTarget: { url: redis.urlThrough(redis.port) } });
  return {
    confirm: async (rev) => {
      const committedAt = systemClock.monotonic();
      const generation = await currentGeneration(db);
      return await confirmChange({ watch, clock: systemClock }, { generation, rev, committedAt, endsWithLease: false });
    },
    close: () => watch.close(),
  };
}

/** What a receipt says of one replica. One that was killed and started again stands in it twice, and is the better of the two. */
export function nodeOf(receipt: { nodes: readonly { node: string; state: string }[] }, replica: Replica): string | undefined {
  const states = receipt.nodes.filter(({ node }) => node.endsWith(`:${replica.port}`)).map(({ state }) => state);
  return ["applied", "pending", "run_out"].find((state) => states.includes(state));
}
