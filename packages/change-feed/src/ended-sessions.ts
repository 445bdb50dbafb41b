/**
 * Sessions that have ended while tokens of theirs are still good for minutes. Known before the feed says that their end is
 * applied; who has not followed the feed for too long asks PostgreSQL.
 */
import { Problem, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { ChangeFeed } from "./change-feed.ts";
import { type EndedRow, listEnded } from "./feed.store.ts";

/** What a person's token says of where it comes from. */
export interface TokenOrigin {
  sessionId: string;
  userId: string;
  /** Milliseconds since 1970. */
  issuedAt: number;
}

export interface EndedSessions {
  /**
   * True when the token's session has ended, or its person was changed after it was issued: disabled, or of another role.
   * @throws Problem `unavailable` when this process has not followed the feed for longer than it may, and PostgreSQL is away
   */
  includes(token: TokenOrigin): Promise<boolean>;
}

/** Longer than any token lives (5 minutes), with what clocks and long transactions may add. */
const rememberedMs = 6 * 60_000;
/** A token may be dated by a clock that is ahead of PostgreSQL's, or be made while its person is being changed. */
const toleranceMs = 5000;
/** What a check without a lease waits for one. */
const sightedWithinMs = 250;

/** @param dbs the feed's own connection, on which nobody may wait, and the service's for who lost the feed */
export function openEndedSessions(feed: ChangeFeed, dbs: { ofFeed: Db; ofService: Db }): EndedSessions {
  /** By kind and uuid: PostgreSQL's milliseconds at which it was heard, oldest first. */
  let ended = new Map<string, number>();
  feed.onReset(async () => {
    ended = byName(await listEnded(dbs.ofFeed, rememberedMs));
  });
  feed.onChange(({ kind, subjectId }) => {
    if (kind !== "session" && kind !== "user") return;
    const now = feed.lease.now();
    const name = `${kind} ${subjectId}`;
    ended.delete(name);
    ended.set(name, now);
    for (const [oldest, at] of ended) {
      if (at >= now - rememberedMs) break;
      ended.delete(oldest);
    }
  });
  return {
    includes: async (token) => {
      if (!feed.lease.isSighted()) await feed.untilSighted(sightedWithinMs);
      const blindForMs = feed.lease.blindForMs();
      if (blindForMs === 0 || blindForMs < feed.blindMs) return ended.size > 0 && covers(ended, token);
      return covers(await endedNow(dbs.ofService, token), token);
    },
  };
}

/** What PostgreSQL itself says of one token. */
async function endedNow(db: Db, { sessionId, userId }: TokenOrigin): Promise<Map<string, number>> {
  const subjects = [uuidOf("session", sessionId), uuidOf("user", userId)].filter((id) => id !== undefined);
  try {
    return byName(await listEnded(db, rememberedMs, subjects));
  } catch (cause) {
    throw new Problem("unavailable", undefined, { cause, headers: { "retry-after": "1" } });
  }
}

function byName(rows: readonly EndedRow[]): Map<string, number> {
  return new Map(rows.map(({ kind, subjectId, at }) => [`${kind} ${subjectId}`, at]));
}

function covers(ended: ReadonlyMap<string, number>, { sessionId, userId, issuedAt }: TokenOrigin): boolean {
  if (ended.has(`session ${uuidOf("session", sessionId)}`)) return true;
  const changedAt = ended.get(`user ${uuidOf("user", userId)}`);
  return changedAt !== undefined && issuedAt <= changedAt + toleranceMs;
}
