/**
 * Replaces hashes that were made with an older pepper. Only whoever holds a key can show its digest, so this happens when a
 * key is seen; and beside the request, which has its answer already.
 */
import { uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { type Peppers, storedHash } from "../peppers.ts";
import { replaceHashes } from "./peppers.store.ts";

export interface Rehasher {
  /** Notes a key that was found under an older pepper. Never throws, and waits for nothing. */
  rehash(seen: SeenKey): void;
  /** Writes what is noted. */
  close(): Promise<void>;
}

interface SeenKey {
  /** SHA-256 of the whole key. */
  digest: Buffer;
  /** `key_…` */
  keyId: string;
  version: number;
}

const waitMs = 200;
const batchSize = 500;
/** More at once are forgotten: a key that is used is seen again. */
const mostNoted = 10_000;

export function openRehasher({ db, peppers, logger }: { db: Db; peppers: Peppers; logger: Pick<Logger, "warn"> }): Rehasher {
  const noted = new Map<string, SeenKey>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    timer = undefined;
    const batch = [...noted].slice(0, batchSize);
    for (const [name] of batch) noted.delete(name);
    const current = peppers.versions.get(peppers.current) ?? "";
    const older = [...peppers.versions].filter(([version]) => version !== peppers.current).map(([, pepper]) => pepper);
    const replacements = batch.flatMap(([, { digest, keyId, version }]) => {
      const hash = storedHash(digest, current);
      return older.map((pepper) => ({ keyId: uuidOf("key", keyId) ?? "", version, from: storedHash(digest, pepper), to: hash }));
    });
    try {
      await replaceHashes(db, replacements, peppers.current);
    } catch (error) {
      logger.warn(
        { event: "rehash", keys: batch.length, err: error },
        "hashes under an older pepper stay until their keys are seen again",
      );
    }
    if (noted.size > 0) schedule();
  }

  function schedule(): void {
    timer ??= setTimeout(() => (writing = write()), waitMs).unref();
  }

  return {
    rehash: (seen) => {
      if (noted.size >= mostNoted) return;
      noted.set(`${seen.keyId}/${seen.version}`, seen);
      schedule();
    },
    close: async () => {
      clearTimeout(timer);
      await writing;
      while (noted.size > 0) await write();
      clearTimeout(timer);
    },
  };
}
