/** Transactions whose changes the verifiers hear of, at once, when they are committed. */
import { assert } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { ChangeFeed } from "./change-feed.ts";
import type { Change } from "./change.ts";

/** What the open transactions have put into the change feed. */
const recorded = new WeakMap<Db, Change[]>();

export interface ChangeDeps {
  db: Db;
  verifier: { readonly feed: ChangeFeed };
}

/** Runs `work` in one transaction and announces what it recorded, after the commit. Joins the change transaction that `db` may be. */
export async function inChangeTransaction<T>(
  { db, verifier }: { db: Db; verifier: { readonly feed: Pick<ChangeFeed, "announce"> } },
  work: (tx: Db) => Promise<T>,
): Promise<T> {
  if (recorded.has(db)) return await work(db);
  const changes: Change[] = [];
  const result = await inTransaction(db, async (tx) => {
    recorded.set(tx, changes);
    return await work(tx);
  });
  verifier.feed.announce(changes);
  return result;
}

/** Notes what was put into the feed; a store that does so outside of a change transaction would leave everybody waiting for a second. */
export function noteChanges(tx: Db, changes: readonly Change[]): void {
  const noted = recorded.get(tx);
  assert(noted, "changes are recorded in a change transaction");
  noted.push(...changes);
}
