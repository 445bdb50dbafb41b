import { type Db, inTransaction } from "@nexus/db";
import { releaseGrants } from "./grants.store.ts";

/** Gives back what a gateway process has set aside and not settled, once it has no call left: at its end, or after its death. */
export async function releaseBudgets(db: Db, processId: string): Promise<void> {
  await inTransaction(db, (tx) => releaseGrants(tx, processId));
}
