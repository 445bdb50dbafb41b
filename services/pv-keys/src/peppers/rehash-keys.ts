/**
 * Replaces hashes that were made with an older pepper. Only whoever holds a key can show its digest, so this happens when a
 * key is seen; and beside the request, which has its answer already.
 */
import { uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { type Peppers, storedHash } from "../peppers.ts";
import { replaceHashes, type Replacement } from "./peppers.store.ts";

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
const waitAfterFailureMs = 2000;
const batchSize = 500;
/** More at once are forgotten: their keys are seen again after the next start. */
const mostNoted = 10_000;

export function openRehasher({ db, peppers, logger }: { db: Db; peppers: Peppers; logger: Pick<Logger, "warn"> }): Rehasher {
  const noted = new Map<string, SeenKey>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<unknown> = Promise.resolve();
  let failing = false;

  /** Writes a batch. What could not be written stays noted. */
  async function write(): Promise<void> {
    timer = undefined;
    const batch = [...noted].slice(0, batchSize);
    for (const [name] of batch) noted.delete(name);
    try {
      await replaceHashes(
        db,
        batch.flatMap(([, seen]) => replacementsOf(seen, peppers)),
        peppers.current,
      );
      failing = false;
    } catch (error) {
      if (!failing) logger.warn({ event: "rehash", err: error }, "hashes under an older pepper wait to be replaced");
      failing = true;
      for (const [name, seen] of batch) noted.set(name, seen);
    }
  }

  function schedule(): void {
    const next = (): void => {
      writing = write().then(() => {
        if (noted.size > 0) schedule();
      });
    };
    timer ??= setTimeout(next, failing ? waitAfterFailureMs : waitMs).unref();
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
      clearTimeout(timer);
      while (noted.size > 0) {
        await write();
        if (failing) return;
      }
    },
  };
}

/** Which of the older peppers it was is not known here; the statement finds out. */
function replacementsOf({ digest, keyId, version }: SeenKey, { current, versions }: Peppers): Replacement[] {
  const to = storedHash(digest, versions.get(current) ?? "");
  const older = [...versions].filter(([pepperVersion]) => pepperVersion !== current);
  return older.map(([, pepper]) => ({ keyId: uuidOf("key", keyId) ?? "", version, from: storedHash(digest, pepper), to }));
}
