/** pv-keys first, PostgreSQL when it does not answer: misses go on while pv-keys is away. */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "@nexus/core";
import type { Found, KeySource } from "./key-source.ts";

/** What a pv-keys that neither answers nor refuses may cost before the other is asked as well. */
const patienceMs = 100;
/** How long a pv-keys that failed is left alone by all but one question. */
const retryMs = 500;

interface Options {
  first: KeySource;
  second: KeySource;
  clock: Clock;
  /** Hears why the first does not answer, once each time that it goes away; the error never holds a key. */
  onAway?: ((error: unknown) => void) | undefined;
}

export function twoSources({ first, second, clock, onAway }: Options): KeySource {
  /** Monotonic milliseconds before which the first is not asked; `undefined` while it answers. */
  let retryAt: number | undefined;
  const failed = (error: unknown): void => {
    if (retryAt === undefined) onAway?.(error);
    retryAt = clock.monotonic() + retryMs;
  };
  const askFirst = async (digest: Buffer, minRev: number): Promise<Found> => {
    try {
      const found = await first.find(digest, minRev);
      if (found.asOf < minRev) throw new Error("pv-keys does not know what this process knows");
      retryAt = undefined;
      return found;
    } catch (error) {
      failed(error);
      throw error;
    }
  };
  return {
    find: async (digest, minRev) => {
      const now = clock.monotonic();
      if (retryAt !== undefined && now < retryAt) return await second.find(digest, minRev);
      // While it is away one question at a time finds out whether it is back.
      if (retryAt !== undefined) retryAt = now + retryMs;
      return await firstAnswer(askFirst(digest, minRev), () => second.find(digest, minRev));
    },
    close: async () => void (await Promise.all([first.close(), second.close()])),
  };
}

/** The answer of `asking`, or of `other` when that is late or fails. @throws what `other` threw */
async function firstAnswer(asking: Promise<Found>, other: () => Promise<Found>): Promise<Found> {
  const late = Symbol("late");
  const timer = new AbortController();
  const inTime = await Promise.race([
    asking.catch(() => late),
    delay(patienceMs, late, { signal: timer.signal }).catch(() => late),
  ]);
  timer.abort();
  if (inTime !== late) return inTime as Found;
  try {
    return await Promise.any([asking, other()]);
  } catch (error) {
    throw error instanceof AggregateError ? (error.errors[1] as Error) : error;
  }
}
