/**
 * Decides about API keys inside the process that is asked. What is known of a key holds as long as the process follows the
 * change feed: most checks ask nobody, and a revoked key is forgotten before the feed says that this process knows.
 */
import { hash } from "node:crypto";
import type { ChangeFeed } from "@nexus/change-feed";
import type { FrozenTarget, KeyRecord } from "@nexus/contracts/key-record";
import type { ValidKey, KeyAnswer } from "@nexus/contracts/verify-key";
import { type Clock, Problem } from "@nexus/core";
import type { Freezes } from "./freezes.ts";
import { frozenRefusal, type KeyCache, knownKey, type KnownKey, openKeyCache, refusal } from "./key-cache.ts";
import { type KeyShapes, longestKey, openKeyShapes } from "./key-formats.ts";
import type { Found, KeySource } from "./key-source.ts";
import type { KeyUses, UseOutcome } from "./key-uses.ts";
import type { KeyFormatRow } from "./keys.store.ts";
import { openUnknownLimiter, type UnknownLimiter } from "./unknown-limiter.ts";

export interface KeyCheckerOptions {
  feed: ChangeFeed;
  freezes: Freezes;
  source: KeySource;
  uses: KeyUses;
  clock: Clock;
  /** The shapes of imported keys; asked for when the process starts and when they change. */
  loadFormats: () => Promise<readonly KeyFormatRow[]>;
  /** Most keys kept; 50,000 unless told. What is no key is kept a fifth as often. */
  maxEntries?: number;
  /** Most questions under way at once; 1,000 unless told. Past that a key nobody knows is answered with `unavailable`. */
  maxPending?: number;
}

export interface KeyChecker {
  /**
   * Whether the key is good. An invalid key is an answer.
   * @param client the address that it came from: one that asks about many unknown keys is stopped
   * @throws Problem `unavailable` for a key nobody here knows while nobody can tell: never a refusal; `rate_limited`
   */
  check(key: string, client?: string): Promise<KeyAnswer>;
  /** The answer when it can be given without asking anybody; for the hot path, before `check`. */
  known(key: string): KeyAnswer | undefined;
  /** The same, for who looks once more while the key is used: that is no use of its own. */
  peek(key: string): KeyAnswer | undefined;
  /** What stands under a digest, at least as new as `minRev`. @throws Problem `unavailable` */
  lookUp(digest: Buffer, minRev: number): Promise<Found>;
  /** Whether the text has the shape of a key, ours or an imported one. */
  mayBeKey(text: string): boolean;
  sizes(): { known: number; unknown: number };
  /** What has been answered so far; the same object every time. */
  counts(): Readonly<KeyCheckCounts>;
  close(): Promise<void>;
}

/** Since the process started. */
interface KeyCheckCounts {
  /** Answers given from what this process knew, by what they said. */
  readonly known: Record<KnownAnswer, number>;
  /** Questions that pv-keys or PostgreSQL answered. */
  answered: number;
  /** Questions that nobody could answer. */
  unanswered: number;
}
/** What this package says of a key; limits, scopes and addresses are others' to refuse by. */
type KnownAnswer = "valid" | "not_found" | "revoked" | "disabled" | "expired" | "frozen";

/** How long a digest that stood for nothing is not asked about again. */
const unknownMs = 10_000;
/** What a check without a lease waits for one before it asks others. */
const sightedWithinMs = 250;
/** Answers that are older than what this process knows already are asked for again so often. */
const mostAttempts = 3;

export function openKeyChecker(options: KeyCheckerOptions): KeyChecker {
  return new Checker(options);
}

class Checker implements KeyChecker {
  readonly #feed: ChangeFeed;
  readonly #freezes: Freezes;
  readonly #source: KeySource;
  readonly #clock: Clock;
  readonly #uses: KeyUses;
  readonly #cache: KeyCache;
  readonly #unknownLimiter: UnknownLimiter;
  readonly #shapes: KeyShapes = openKeyShapes();
  readonly #maxPending: number;
  /** One question per digest, shared by all who may have its answer. */
  readonly #pending = new Map<string, { minRev: number; answer: Promise<Found> }>();
  readonly #counts: KeyCheckCounts = {
    known: { valid: 0, not_found: 0, revoked: 0, disabled: 0, expired: 0, frozen: 0 },
    answered: 0,
    unanswered: 0,
  };
  #asking = 0;

  constructor({ feed, freezes, source, uses, clock, loadFormats, maxEntries = 50_000, maxPending = 1000 }: KeyCheckerOptions) {
    this.#feed = feed;
    this.#freezes = freezes;
    this.#source = source;
    this.#clock = clock;
    this.#uses = uses;
    this.#unknownLimiter = openUnknownLimiter(clock);
    this.#maxPending = maxPending;
    this.#cache = openKeyCache({ known: maxEntries, unknown: Math.ceil(maxEntries / 5) });
    const loadShapes = async (): Promise<void> => this.#shapes.set(await loadFormats());
    feed.onHint(({ kind, subjectId }) => {
      if (kind === "key") this.#cache.evict(`key_${subjectId}`);
    });
    feed.onChange(async ({ kind, subjectId }) => {
      if (kind === "key") this.#cache.evict(`key_${subjectId}`);
      if (kind === "key_format") await loadShapes();
    });
    feed.onReset(async () => {
      this.#cache.clear();
      await loadShapes();
    });
  }

  async check(key: string, client?: string): Promise<KeyAnswer> {
    let known = this.known(key);
    if (known) return known;
    if (!this.#feed.lease.isSighted()) {
      await this.#feed.untilSighted(sightedWithinMs);
      known = this.known(key);
      if (known) return known;
    }
    const digest = hash("sha256", key, "base64url");
    if (client !== undefined) this.#unknownLimiter.admit(client);
    const found = await this.#ask(digest);
    if (client !== undefined && !found.record) this.#unknownLimiter.charge(client);
    if (found.record && !this.#freezes.isKnown()) this.#hearFreezes(found.record, found.freezes);
    return this.#answer(this.#entry(found.record));
  }

  known(key: string): KeyAnswer | undefined {
    const answer = this.#look(key, true);
    if (answer) this.#counts.known[answer.valid ? "valid" : (answer.code as KnownAnswer)]++;
    return answer;
  }

  peek(key: string): KeyAnswer | undefined {
    return this.#look(key, false);
  }

  #look(key: string, isUse: boolean): KeyAnswer | undefined {
    if (key.length > longestKey) return refusal("not_found");
    const known = this.#cache.get(hash("sha256", key, "base64url"));
    if (!known) return this.#shapes.mayBeKey(key) ? undefined : refusal("not_found");
    if (!this.#mayRelyOn(known)) return undefined;
    return isUse ? this.#answer(known) : this.#decide(known);
  }

  async lookUp(digest: Buffer, minRev: number): Promise<Found> {
    const text = digest.toString("base64url");
    const known = this.#cache.get(text);
    const { generation, rev } = this.#feed.position();
    if (known && generation !== undefined && rev >= minRev && this.#feed.lease.isSighted()) {
      return { record: known.record, generation, asOf: rev, freezes: this.#freezesFor(known.record) };
    }
    return await this.#findNow(text, minRev);
  }

  #freezesFor(record: Found["record"]): Found["freezes"] {
    return record ? this.#freezes.within(record.organization_id) : [];
  }

  /** Who cannot follow the feed knows what is frozen from the answer itself. @throws Problem `unavailable` when that does not say */
  #hearFreezes(record: KeyRecord, freezes: Found["freezes"]): void {
    if (!freezes) throw unavailable();
    this.#freezes.hear(record.organization_id, freezes);
  }

  mayBeKey(text: string): boolean {
    return this.#shapes.mayBeKey(text);
  }

  sizes(): { known: number; unknown: number } {
    return this.#cache.sizes();
  }

  counts(): Readonly<KeyCheckCounts> {
    return this.#counts;
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  /** While the feed is followed, everything; for a while after that, keys that were good, but none that commands others. */
  #mayRelyOn(known: KnownKey): boolean {
    const { lease, blindMs } = this.#feed;
    if (lease.isSighted()) return known.record !== null || this.#clock.monotonic() < known.until;
    return known.answer.valid && !known.isAdminClass && lease.blindForMs() < blindMs;
  }

  #answer(known: KnownKey): KeyAnswer {
    const answer = this.#decide(known);
    if (known.record) this.#uses.note(known, answer.valid ? "valid" : (answer.code as UseOutcome));
    return answer;
  }

  #decide({ answer, expiresAt }: KnownKey): KeyAnswer {
    if (expiresAt !== Infinity && this.#feed.lease.now() >= expiresAt) return refusal("expired");
    const frozen = answer.valid && this.#freezes.any ? this.#frozenBy(answer) : undefined;
    return frozen ? frozenRefusal(frozen) : answer;
  }

  #frozenBy({ organization_id: organizationId, owner, environment, key_id: keyId }: ValidKey): FrozenTarget | undefined {
    return this.#freezes.find({ organizationId, ownerUserId: owner.id, environment, keyId });
  }

  async #ask(digest: string): Promise<Found> {
    // What this process has applied it must never contradict, so an answer may not be older than that.
    const minRev = this.#feed.position().rev;
    const underWay = this.#pending.get(digest);
    // Without a lease nobody waits for this process before a receipt is given: only what is asked from now on is new enough.
    if (underWay && underWay.minRev >= minRev && this.#feed.lease.isSighted()) return await underWay.answer;
    if (this.#asking >= this.#maxPending) throw unavailable();
    const answer = this.#findNow(digest, minRev);
    const question = { minRev, answer };
    this.#pending.set(digest, question);
    this.#asking++;
    try {
      return await answer;
    } finally {
      this.#asking--;
      if (this.#pending.get(digest) === question) this.#pending.delete(digest);
    }
  }

  /** Asks, and keeps the answer when nothing newer than it has been heard of. @throws Problem `unavailable` */
  async #findNow(digest: string, minRev: number): Promise<Found> {
    for (let attempt = 1; attempt <= mostAttempts; attempt++) {
      const found = await this.#source.find(Buffer.from(digest, "base64url"), minRev).catch((cause: unknown) => {
        this.#counts.unanswered++;
        throw unavailable(cause);
      });
      this.#counts.answered++;
      const { generation } = this.#feed.position();
      if (found.asOf < minRev && found.generation === generation) continue;
      const isCurrent = found.generation === generation && found.asOf >= this.#feed.heard() && this.#feed.lease.isSighted();
      if (isCurrent) this.#cache.set(digest, this.#entry(found.record));
      return found;
    }
    throw unavailable();
  }

  #entry(record: Found["record"]): KnownKey {
    return knownKey(record, this.#clock.monotonic() + unknownMs);
  }
}

function unavailable(cause?: unknown): Problem {
  return new Problem("unavailable", undefined, { ...(cause === undefined ? {} : { cause }), headers: { "retry-after": "1" } });
}
