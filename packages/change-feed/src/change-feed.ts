/** What a process follows the change feed with, and what it is told. */
import type { Clock } from "@nexus/core";
import type { Database } from "@nexus/db";
import type { Cache, RedisTarget } from "@nexus/redis";
import type { Change } from "./change.ts";
import type { LeaseClock } from "./lease-clock.ts";

export interface ChangeFeedOptions {
  /** For the feed alone, with a statement timeout below a second: a busy pool must not make the process blind. */
  database: Database;
  /** Without it the feed is looked at once a second and no sooner. */
  redis?: { cache: Cache; target: RedisTarget } | undefined;
  clock: Clock;
  logger: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  service: string;
  /** What receipts call this process: host and process id. */
  node: string;
  /** How long this process goes on with what it knows when its lease is over, seconds. */
  blindSeconds: number;
}

export type ChangeListener = (change: Change) => void | Promise<void>;
export type ResetListener = () => void | Promise<void>;

export interface ChangeFeed {
  readonly verifierId: string;
  readonly blindMs: number;
  /** Everything up to here is applied. */
  position(): { generation: string | undefined; rev: number };
  /** The highest revision that this process has heard of, applied or not. */
  heard(): number;
  /** Called in order; the feed goes on, and says that it has, only when the listener is done. May be called twice for one change. */
  onChange(listener: ChangeListener): void;
  /** Called as soon as a change is rumoured: whoever forgets something for it in vain has only lost time. */
  onHint(listener: (change: Change) => void): void;
  /** What was known may be wrong: the process starts, or the database is another one than before. */
  onReset(listener: ResetListener): void;
  /** Says aloud what this process has committed; it has itself heard of it before this returns. */
  announce(changes: readonly Change[]): void;
  readonly lease: LeaseClock;
  /**
   * Resolves as soon as there is a lease, or after the time, or at once while PostgreSQL is out of reach. For a process that has
   * just been continued, or whose clock was stepped: it needs one look and not the rest of a second.
   */
  untilSighted(timeoutMs: number): Promise<void>;
  /** Processes that follow the feed, of whatever service, this one included. */
  liveVerifiers(): number;
  /** Begins; resolves when the process has its lease, or after the first attempt that failed: it goes on trying. */
  start(): Promise<void>;
  close(): Promise<void>;
}
