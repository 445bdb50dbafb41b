/**
 * The change feed as one process follows it. PostgreSQL is the truth: once a second one statement renews the process's lease
 * and reads what is new. Redis only says that it is worth looking now; such a look reads and leaves the lease alone.
 */
import { setTimeout as delay } from "node:timers/promises";
import { newUuid } from "@nexus/core";
import { openSubscriber } from "@nexus/redis";
import { announceChanges } from "./announce-change.ts";
import type { ChangeFeed, ChangeFeedOptions, ChangeListener, ResetListener } from "./change-feed.ts";
import { acknowledgementChannel, type Acknowledgement, type Change, type Hint, hintChannel, parseHint } from "./change.ts";
import { deleteLease, insertLease, type News, readNews, renewLease, type Verifier } from "./feed.store.ts";
import { type LeaseClock, leaseClock, type Moment } from "./lease-clock.ts";

const renewEveryMs = 1000;

export function openChangeFeed(options: ChangeFeedOptions): ChangeFeed {
  return new Follower(options);
}

class Follower implements ChangeFeed {
  readonly verifierId = newUuid();
  readonly blindMs: number;
  readonly lease: LeaseClock;
  readonly #options: ChangeFeedOptions;
  readonly #verifier: Verifier;
  readonly #changeListeners: ChangeListener[] = [];
  readonly #hintListeners: ((change: Change) => void)[] = [];
  readonly #resetListeners: ResetListener[] = [];
  #generation: string | undefined;
  #position: number | undefined;
  #hinted = 0;
  #live = 1;
  #hasLease = false;
  /** Monotonic milliseconds from which a look renews the lease. */
  #renewalDue = 0;
  #failing = false;
  #closed = false;
  /** Ends the pause between two looks. */
  #wake = new AbortController();
  /** A look was asked for while another was under way. */
  #again = false;
  /** Resolves at the end of the look that is under way or comes next. */
  #looked = Promise.withResolvers<void>();
  #loop: Promise<void> = Promise.resolve();
  #stopListening = (): void => {};

  constructor(options: ChangeFeedOptions) {
    this.#options = options;
    this.blindMs = options.blindSeconds * 1000;
    this.lease = leaseClock(options.clock);
    this.#verifier = { ...options, verifierId: this.verifierId };
  }

  position(): { generation: string | undefined; rev: number } {
    return { generation: this.#generation, rev: this.#position ?? 0 };
  }

  heard(): number {
    return Math.max(this.#position ?? 0, this.#hinted);
  }

  onChange(listener: ChangeListener): void {
    this.#changeListeners.push(listener);
  }

  onHint(listener: (change: Change) => void): void {
    this.#hintListeners.push(listener);
  }

  onReset(listener: ResetListener): void {
    this.#resetListeners.push(listener);
  }

  liveVerifiers(): number {
    return this.#live;
  }

  announce(changes: readonly Change[]): void {
    const generation = this.#generation;
    // Without a place in the feed there is nothing known that could be wrong, and whoever listens looks by itself.
    if (generation === undefined) return;
    const hints = changes.map((change): Hint => ({ ...change, generation }));
    for (const hint of hints) this.#heard(hint);
    announceChanges(this.#options.redis?.cache, hints);
  }

  async start(): Promise<void> {
    const { redis } = this.#options;
    if (redis) {
      const subscriber = openSubscriber(
        redis.target,
        { [hintChannel]: (message) => this.#hint(message) },
        { onListening: () => this.#lookNow() },
      );
      this.#stopListening = () => subscriber.close();
    }
    const first = this.#look();
    this.#loop = first.then(() => this.#follow());
    await first;
  }

  async untilSighted(timeoutMs: number): Promise<void> {
    const timer = new AbortController();
    const timeout = delay(timeoutMs, undefined, { signal: timer.signal }).finally(() => timer.abort());
    timeout.catch(() => {});
    while (!this.lease.isSighted() && !this.#failing && !timer.signal.aborted) {
      this.#lookNow();
      await Promise.race([this.#looked.promise, timeout]);
    }
    timer.abort();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    this.#lookNow();
    await this.#loop;
    if (this.#hasLease) await deleteLease(this.#options.database.db, this.verifierId).catch(() => {});
    await this.#options.database.close();
  }

  async #follow(): Promise<void> {
    while (!this.#closed) {
      if (!this.#again && (this.#failing || !this.#isBehindRumours())) await this.#pause(this.#untilNextLook());
      if (!this.#closed) await this.#look();
    }
  }

  async #pause(ms: number): Promise<void> {
    this.#wake = new AbortController();
    await delay(ms, undefined, { signal: this.#wake.signal }).catch(() => {});
  }

  #untilNextLook(): number {
    return this.#failing ? 100 + Math.random() * 200 : Math.max(0, this.#renewalDue - this.#options.clock.monotonic());
  }

  #isBehindRumours(): boolean {
    return this.#hinted > (this.#position ?? 0);
  }

  #lookNow(): void {
    this.#again = true;
    this.#wake.abort();
  }

  #hint(message: string): void {
    const hint = parseHint(message);
    if (hint) this.#heard(hint);
  }

  #heard(hint: Hint): void {
    if (hint.generation !== this.#generation || hint.rev <= (this.#position ?? 0)) return;
    this.#hinted = Math.max(this.#hinted, hint.rev);
    for (const listener of this.#hintListeners) listener(hint);
    this.#wake.abort();
  }

  /** Reads until nothing is new. Never rejects: a feed that cannot be read is tried again. */
  async #look(): Promise<void> {
    this.#again = false;
    try {
      let caughtUp = false;
      while (!caughtUp && !this.#closed) caughtUp = await this.#step();
      if (this.#failing) this.#options.logger.info({ event: "change_feed" }, "the change feed is followed again");
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) {
        this.#options.logger.warn({ event: "change_feed", err: error }, "the change feed cannot be read");
      }
      this.#failing = true;
    }
    this.#looked.resolve();
    this.#looked = Promise.withResolvers();
  }

  /** True when the feed has nothing more, and whoever waits for this process has been told. */
  async #step(): Promise<boolean> {
    if (!this.#hasLease) {
      await insertLease(this.#options.database.db, this.#verifier);
      this.#hasLease = true;
    }
    const hintedBefore = this.#hinted;
    const isDone = this.#isReadingEnough() ? await this.#read() : await this.#renew();
    // What was rumoured before this look and is not in it is not true.
    if (isDone && this.#hinted === hintedBefore) this.#hinted = 0;
    return isDone;
  }

  /** Where Redis carries the acknowledgements, the lease's row can wait for the renewal that comes anyway. */
  #isReadingEnough(): boolean {
    const { redis, clock } = this.#options;
    const isDue = clock.monotonic() >= this.#renewalDue;
    return redis !== undefined && !isDue && this.#position !== undefined && this.lease.isSighted();
  }

  async #read(): Promise<boolean> {
    const news = await readNews(this.#options.database.db, this.#place());
    if (await this.#apply(news)) this.#acknowledge();
    return (this.#position ?? 0) >= news.head;
  }

  async #renew(): Promise<boolean> {
    const { database, clock, redis } = this.#options;
    const sent: Moment = { monotonic: clock.monotonic(), wall: clock.now() };
    this.#renewalDue = 0;
    const renewal = await renewLease(database.db, this.#verifier, this.#place());
    if (!renewal.renewed) {
      this.#hasLease = false;
      return false;
    }
    this.#live = renewal.live;
    const moved = await this.#apply(renewal);
    if ((this.#position ?? 0) < renewal.head) return false;
    this.lease.renewed(sent, renewal.now);
    if (moved) this.#acknowledge();
    // Without Redis the row is all that says how far this process is.
    if (moved && !redis) return false;
    this.#renewalDue = sent.monotonic + renewEveryMs - Math.random() * 100;
    return true;
  }

  #place(): { generation: string | undefined; rev: number | undefined } {
    return { generation: this.#generation, rev: this.#position };
  }

  /** @returns whether the position is another than the lease's row says */
  async #apply({ generation, head, changes }: News): Promise<boolean> {
    const position = this.#position;
    const isContinued =
      position !== undefined &&
      generation === this.#generation &&
      head >= position &&
      (head === position || changes.length > 0) &&
      // Old changes go by the month in which their transactions began, so that one between two others may be gone.
      changes.every(({ rev }, index) => rev === position + 1 + index);
    if (!isContinued) {
      // From nothing, or from what is not known to be the same feed: whatever listeners load now is at least as new as `head`.
      this.#generation = generation;
      // A reset that fails leaves no place to go on from, and so is done again.
      this.#position = undefined;
      // What is asked meanwhile and is older must not be kept: the listeners have forgotten, and nothing will tell them again.
      this.#hinted = head;
      for (const listener of this.#resetListeners) await listener();
      this.#position = head;
      return true;
    }
    for (const change of changes) {
      for (const listener of this.#changeListeners) await listener(change);
      this.#position = change.rev;
    }
    return changes.length > 0;
  }

  /** With Redis away the lease's row says it, at once. */
  #acknowledge(): void {
    const { redis } = this.#options;
    if (!redis || this.#generation === undefined) return;
    const message: Acknowledgement = { generation: this.#generation, verifierId: this.verifierId, rev: this.#position ?? 0 };
    redis.cache.client.publish(acknowledgementChannel, JSON.stringify(message)).catch(() => {
      this.#renewalDue = 0;
      this.#lookNow();
    });
  }
}
