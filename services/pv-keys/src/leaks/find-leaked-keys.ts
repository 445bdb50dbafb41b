import { ConfigError } from "@nexus/config";
import type { Db } from "@nexus/db";
import type { PepperCheck } from "../keys/confirm-peppers.ts";
import { type Peppers, storedHash } from "../peppers.ts";
import { findSecrets, type LeakedSecret } from "./leaks.store.ts";

interface Deps {
  db: Db;
  peppers: Peppers;
  pepperCheck: PepperCheck;
}

/** Hashes of one statement. */
const batch = 1000;

/**
 * Whose secrets these are, by their SHA-256 in hex; what is not in the answer is no secret of this installation.
 * @throws ConfigError while a pepper is missing: a key that leaked must not be called a false alarm
 */
export async function findLeakedKeys(deps: Deps, digests: readonly string[]): Promise<Map<string, LeakedSecret>> {
  await deps.pepperCheck.confirm();
  const hashed = [...new Set(digests)].flatMap((digest) =>
    [...deps.peppers.versions.values()].map((pepper) => [storedHash(Buffer.from(digest, "hex"), pepper), digest] as const),
  );
  const leaked = new Map<string, LeakedSecret>();
  for (let from = 0; from < hashed.length; from += batch) {
    const part = new Map(hashed.slice(from, from + batch).map(([hash, digest]) => [hash.toString("hex"), digest]));
    const { secrets, newestPepper } = await findSecrets(deps.db, [...part.keys()]);
    if (!deps.peppers.versions.has(newestPepper) && newestPepper > deps.peppers.current)
      throw new ConfigError([`NEXUS_KEY_PEPPERS lacks version ${newestPepper}`]);
    for (const { hash, ...secret } of secrets) {
      const digest = part.get(hash);
      if (digest !== undefined) leaked.set(digest, secret);
    }
  }
  return leaked;
}
