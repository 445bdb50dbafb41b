/** Finds keys in PostgreSQL: for pv-keys itself, and for every other verifier while pv-keys is away. */
import type { Db } from "@nexus/db";
import { batchLookups } from "./batch-lookups.ts";
import type { Found, KeySource } from "./key-source.ts";
import { findVerifiableKeys, type FoundKey, readPepperFingerprints } from "./keys.store.ts";
import { pepperFingerprint, type Peppers, storedHash } from "./peppers.ts";

/** How long a caller waits for PostgreSQL before nobody can tell; a hung one takes three times as long to be given up. */
const lookUpMs = 2000;

interface Options {
  db: Db;
  peppers: Peppers;
  /** Hears of each key found under a hash of an older pepper. Must not throw. */
  onOldPepper?: ((seen: { digest: Buffer; keyId: string; version: number }) => void) | undefined;
}

export function databaseSource({ db, peppers, onOldPepper }: Options): KeySource {
  const pepperGuard = guardPeppers(db, peppers);
  const find = batchLookups<Buffer, Found & { pepperVersion?: number }>(async (digests) => {
    const hashesOf = digests.map((digest) => [...peppers.versions.values()].map((pepper) => storedHash(digest, pepper)));
    const found = await findVerifiableKeys(db, hashesOf.flat());
    pepperGuard.seen(found.newestPepper);
    const byHash = new Map(found.keys.map((key) => [key.hash.toString("latin1"), key]));
    return hashesOf.map((hashes) => {
      const key = firstOf(hashes, byHash);
      return {
        record: key?.record ?? null,
        generation: found.generation,
        asOf: found.asOf,
        ...(key && { pepperVersion: key.pepperVersion, freezes: key.freezes }),
      };
    });
  });
  return {
    find: async (digest) => {
      await pepperGuard.confirm();
      const found = await within(lookUpMs, find(digest));
      if (found.record && found.pepperVersion !== peppers.current) {
        onOldPepper?.({ digest, keyId: found.record.key_id, version: found.record.version });
      }
      return found;
    },
    close: () => Promise.resolve(),
  };
}

/** @throws Error after the time; the statement itself ends by its own deadline */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`PostgreSQL did not answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function firstOf(hashes: readonly Buffer[], byHash: ReadonlyMap<string, FoundKey>): FoundKey | undefined {
  for (const hash of hashes) {
    const key = byHash.get(hash.toString("latin1"));
    if (key) return key;
  }
  return undefined;
}

/** Without the right peppers good keys look unknown, so nothing may be said of any key. */
function guardPeppers(db: Db, peppers: Peppers) {
  const newestOfOurs = Math.max(...peppers.versions.keys());
  let confirmed = false;
  return {
    /** @throws Error naming the versions that differ */
    confirm: async (): Promise<void> => {
      if (confirmed) return;
      const used = await readPepperFingerprints(db);
      const wrong = [...peppers.versions].filter(
        ([version, pepper]) => used.get(version)?.equals(pepperFingerprint(pepper)) === false,
      );
      if (wrong.length > 0) {
        throw new Error(`NEXUS_KEY_PEPPERS holds another secret under version ${wrong.map(([version]) => version).join(", ")}`);
      }
      confirmed = true;
    },
    /** @throws Error when keys may have been hashed with a pepper that this process was not given */
    seen: (newest: number): void => {
      if (newest > newestOfOurs) throw new Error(`NEXUS_KEY_PEPPERS lacks version ${newest}`);
    },
  };
}
