/**
 * Decides about API keys inside another service's process. Most checks make no network call: an answer of pv-keys holds
 * for a second, counted from the moment it was asked for, so that a revoked key is refused within two.
 */
import { hash } from "node:crypto";
import type { RefusedKey, VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { type Clock, parseApiKey, Problem } from "@nexus/core";
import { openPvKeys, type PvKeys } from "./ask-pv-keys.ts";
import { answerAt, type KnownKey, type KnownKeys, openKnownKeys } from "./known-keys.ts";

export interface KeyCheckerOptions {
  /** `http://host:port` of pv-keys' private listener. */
  verifyUrl: string;
  /** This service's own proof. */
  serviceToken: string;
  clock: Clock;
  /** How long an answer holds; 1,000 ms unless told. From half of it on, the next use asks again in the background. */
  cacheMs?: number;
  /** How long a key known to be valid is still taken while pv-keys is away; 60,000 ms unless told, 0 for not at all. */
  blindMs?: number;
  /** How long pv-keys may take; 800 ms unless told. Later, it counts as away. */
  timeoutMs?: number;
  /** Most valid keys kept; 50,000 unless told. Refused ones are kept a fifth as many. */
  maxEntries?: number;
  /** Most questions under way at once; 1,000 unless told. Past that a key nobody knows is answered with `unavailable`. */
  maxPending?: number;
  /** Hears why pv-keys counts as away; the error never holds a key. */
  onAway?: (error: unknown) => void;
}

export interface KeyChecker {
  /**
   * Whether the key is good. An invalid key is an answer.
   * @throws Problem `unavailable` for a key nobody here knows while pv-keys is away: never a refusal
   */
  check(key: string): Promise<VerifyKeyAnswer>;
  /** The answer when it can be given without asking anybody; for the hot path, before `check`. */
  known(key: string): VerifyKeyAnswer | undefined;
  close(): Promise<void>;
}

/** Longer than any key: hashing must not cost more because a caller sent more. */
const longestKey = 64;
/** How long a pv-keys that failed is left alone. */
const retryMs = 250;
const notFound: RefusedKey = Object.freeze({ valid: false, code: "not_found" });

interface State {
  clock: Clock;
  pvKeys: PvKeys;
  keys: KnownKeys;
  cacheMs: number;
  blindMs: number;
  maxPending: number;
  onAway: (error: unknown) => void;
  /** One question per key, shared by all who want its answer. */
  pending: Map<string, Promise<VerifyKeyAnswer>>;
  /** Monotonic milliseconds before which nobody asks again; `undefined` while pv-keys answers. */
  retryAt: number | undefined;
}

export function openKeyChecker(options: KeyCheckerOptions): KeyChecker {
  const maxEntries = options.maxEntries ?? 50_000;
  const bounds = { valid: maxEntries, refused: Math.ceil(maxEntries / 5) };
  const state: State = {
    clock: options.clock,
    pvKeys: openPvKeys({ ...options, timeoutMs: options.timeoutMs ?? 800, connections: 16 }),
    keys: openKnownKeys(options.clock, bounds),
    cacheMs: options.cacheMs ?? 1000,
    blindMs: options.blindMs ?? 60_000,
    maxPending: options.maxPending ?? 1000,
    onAway: options.onAway ?? (() => {}),
    pending: new Map(),
    retryAt: undefined,
  };
  return {
    check: async (key) => freshAnswer(state, key) ?? (await askedAnswer(state, key)),
    known: (key) => freshAnswer(state, key),
    close: () => state.pvKeys.close(),
  };
}

/** An answer that still holds. The checksum need not be looked at: only whole keys were ever asked about. */
function freshAnswer(state: State, key: string): VerifyKeyAnswer | undefined {
  if (key.length > longestKey) return notFound;
  const digest = digestOf(key);
  const known = state.keys.get(digest);
  if (!known) return parseApiKey(key) ? undefined : notFound;
  const now = state.clock.monotonic();
  const age = now - known.askedAt;
  if (age >= state.cacheMs) return undefined;
  if (age * 2 >= state.cacheMs) refresh(state, digest, key);
  return answerAt(known, now, state.clock);
}

async function askedAnswer(state: State, key: string): Promise<VerifyKeyAnswer> {
  const digest = digestOf(key);
  const known = state.keys.get(digest);
  const blind = known && blindAnswer(state, known);
  const away = state.retryAt !== undefined;
  const asking = ask(state, digest, key);
  if (!asking) return blind ?? unavailable();
  if (away && blind) {
    // Whoever can be answered does not wait for the attempt to reach it: a hung pv-keys would cost each a deadline.
    asking.catch(() => {});
    return blind;
  }
  try {
    return await asking;
  } catch (cause) {
    return blind ?? unavailable(cause);
  }
}

function refresh(state: State, digest: string, key: string): void {
  ask(state, digest, key)?.catch(() => {});
}

/** The question under way about this key, or a new one; `undefined` when none may be sent now. */
function ask(state: State, digest: string, key: string): Promise<VerifyKeyAnswer> | undefined {
  const underWay = state.pending.get(digest);
  if (underWay) return underWay;
  if (state.pending.size >= state.maxPending) return undefined;
  if (state.retryAt !== undefined) {
    // Away: one question at a time finds out whether it is back.
    if (state.clock.monotonic() < state.retryAt || state.pending.size > 0) return undefined;
  }
  const asking = askNow(state, digest, key).finally(() => state.pending.delete(digest));
  state.pending.set(digest, asking);
  return asking;
}

async function askNow(state: State, digest: string, key: string): Promise<VerifyKeyAnswer> {
  const askedAt = state.clock.monotonic();
  try {
    const answer = await state.pvKeys.ask(key);
    state.retryAt = undefined;
    return answerAt(state.keys.set(digest, answer, askedAt), state.clock.monotonic(), state.clock);
  } catch (error) {
    state.retryAt = state.clock.monotonic() + retryMs;
    state.onAway(error);
    throw error;
  }
}

/** What is known from before pv-keys went away: valid keys for a while, and a revoked key never comes back. */
function blindAnswer(state: State, known: KnownKey): VerifyKeyAnswer | undefined {
  const { answer } = known;
  if (!answer.valid) return answer.code === "revoked" ? answer : undefined;
  const now = state.clock.monotonic();
  return now - known.askedAt < state.blindMs ? answerAt(known, now, state.clock) : undefined;
}

function unavailable(cause?: unknown): never {
  throw new Problem("unavailable", undefined, { cause, headers: { "retry-after": "1" } });
}

function digestOf(key: string): string {
  return hash("sha256", key, "base64");
}
