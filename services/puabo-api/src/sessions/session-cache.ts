import type { Clock } from "@nexus/core";
import { type Cache, fillSession, readSession, revokeSessions, sessionEpochOf } from "@nexus/redis";
import { openEntry, sealEntry } from "./sealed-entry.ts";
import type { Session } from "./session.ts";

/** Leave to fill, given before the row is read: it is worth nothing once a session of this person has ended. */
interface FillTicket {
  epoch: string;
  /** Wall time in ms. */
  givenAt: number;
}

/** Speed alone: every method works, slower, without Redis, and none of them ever rejects. */
export interface SessionCache {
  read(tokenHash: Buffer): Promise<Session | undefined>;
  /** `undefined`: do not fill, the cache is away or must not be believed. */
  ticketFor(userId: string): Promise<FillTicket | undefined>;
  fill(tokenHash: Buffer, ticket: FillTicket, session: Session): Promise<void>;
  /** After the session has ended in PostgreSQL. What Redis could not be told is told as soon as it is back. */
  forget(userId: string, tokenHash: Buffer): Promise<void>;
  close(): void;
}

interface Options {
  cache: Cache;
  clock: Clock;
  /** Seals the entries. */
  key: Buffer;
}

/** No entry is older than this, whatever goes wrong. */
const oldestEntryMs = 60_000;
const retryMs = 1000;

/**
 * Opens the cache of sessions. While a session that has ended could still stand in Redis (it was away when we ended one; or it
 * was away and others may have), everything is read from PostgreSQL, for as long as an entry can live at most.
 */
export function openSessionCache({ cache, clock, key }: Options): SessionCache {
  const unforgotten = openUnforgotten(cache, clock);
  let doubtUntil = Number.NEGATIVE_INFINITY;
  const isBelievable = (): boolean => unforgotten.isEmpty() && clock.monotonic() >= doubtUntil;
  cache.onReconnect(() => {
    doubtUntil = clock.monotonic() + oldestEntryMs;
    unforgotten.retry();
  });
  return {
    read: async (tokenHash) => {
      if (!isBelievable()) return undefined;
      const entry = await readSession(cache, tokenHash.toString("hex")).catch(() => undefined);
      // Asked again: a session may have ended while Redis was answering.
      if (entry === undefined || !isBelievable()) return undefined;
      const opened = openEntry(key, tokenHash, entry);
      return opened && isFresh(opened.readAt, clock.now()) ? opened.session : undefined;
    },
    ticketFor: async (userId) => {
      if (!isBelievable()) return undefined;
      const givenAt = clock.now();
      const epoch = await sessionEpochOf(cache, userId).catch(() => undefined);
      return epoch === undefined ? undefined : { epoch, givenAt };
    },
    fill: async (tokenHash, { epoch, givenAt }, session) => {
      if (!isBelievable()) return;
      if (!isFresh(givenAt, clock.now())) return;
      const value = sealEntry(key, tokenHash, { readAt: givenAt, session });
      const fill = {
        tokenHash: tokenHash.toString("hex"),
        userId: session.user.id,
        epoch,
        value,
        ttlSeconds: oldestEntryMs / 1000,
      };
      await fillSession(cache, fill).catch(() => undefined);
    },
    forget: (userId, tokenHash) => unforgotten.add(userId, tokenHash.toString("hex")),
    close: () => unforgotten.close(),
  };
}

/** Also false for an entry from the future, beyond what the clocks of two replicas may differ. */
function isFresh(readAt: number, now: number): boolean {
  return now - readAt < oldestEntryMs && readAt - now < 5000;
}

/** Sessions that Redis has yet to forget; each until no entry of it can be left. */
function openUnforgotten(cache: Cache, clock: Clock) {
  const waiting = new Map<string, { userId: string; until: number }>();
  let timer: NodeJS.Timeout | undefined;
  const tell = async (hash: string, userId: string): Promise<void> => {
    await revokeSessions(cache, userId, [hash]);
    waiting.delete(hash);
  };
  const later = (): void => {
    if (waiting.size > 0) timer ??= setTimeout(retry, retryMs).unref();
  };
  const retry = (): void => {
    clearTimeout(timer);
    timer = undefined;
    for (const [hash, { until }] of waiting) if (clock.monotonic() >= until) waiting.delete(hash);
    void Promise.allSettled([...waiting].map(([hash, { userId }]) => tell(hash, userId))).then(later);
  };
  return {
    isEmpty: () => waiting.size === 0,
    retry,
    add: async (userId: string, hash: string): Promise<void> => {
      waiting.set(hash, { userId, until: clock.monotonic() + oldestEntryMs });
      await tell(hash, userId).catch(later);
    },
    close: () => clearTimeout(timer),
  };
}
