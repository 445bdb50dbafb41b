import type { Db } from "@nexus/db";
import type { Peppers } from "../peppers.ts";
import { pepperVersionsInUse } from "./keys.store.ts";

/** Versions that stored hashes were made with and that the configuration does not hold, ascending. */
export async function missingPeppers(deps: { db: Db; peppers: Peppers }): Promise<number[]> {
  const used = await pepperVersionsInUse(deps.db);
  return used.filter((version) => !deps.peppers.versions.has(version)).toSorted((a, b) => a - b);
}
