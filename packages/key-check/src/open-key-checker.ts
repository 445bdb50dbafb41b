import { hash } from "node:crypto";
/**
 * Verifies API keys for a service that is not pv-keys. What is not shaped like a key is refused offline; what was verified
 * within the last second is answered from memory; the rest is one call to pv-keys, shared by all who ask for the same key.
 * An answer is used for at most `cacheMs`, so a revoked key is refused within `cacheMs` plus one call's deadline.
 */
import type { VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { type Clock, parseApiKey, Problem } from "@nexus/core";
import { askPvKeys, type PvKeysClient } from "./ask-pv-keys.ts";
import { boundedMap } from "./bounded-map.ts";

export interface KeyCheckerOptions {
  /** `http://host:port` of pv-keys' private listener. */
  verifyUrl: string;
  /** This service's token. */
  serviceToken: string;
  clock: Clock;
  /** Milliseconds that an answer is used without asking again; 1,000 unless told. */
  cacheMs?: number;
  /** Milliseconds for one call to pv-keys; 800 unless told. */
  timeoutMs?: number;
  /** How long a key known to be good is still served while pv-keys cannot be asked; 60,000 unless told. */
  blindMs?: number;
  /** Answers kept at most, good and bad each; 100,000 unless told (about 100 bytes a bad one, 1 kB a good one). */
  maxEntries?: number;
}

export interface KeyChecker {
  /** @throws Problem `unavailable` when the key is not known here and pv-keys cannot be asked: never a refusal by guess */
  check(key: string): Promise<VerifyKeyAnswer>;
  close(): Promise<void>;
}

interface Known {
  answer: VerifyKeyAnswer;
  /** Monotonic time at which the question was sent: an answer is never younger than its question. */
  askedAt: number;
}

/** Milliseconds. */
const pauseMs = 500;
const notFound: VerifyKeyAnswer = { valid: false, code: "not_found" };

export function openKeyChecker(options: KeyCheckerOptions): KeyChecker {
  const { clock, cacheMs = 1000, blindMs = 60_000, maxEntries = 100_000 } = options;
  const client: PvKeysClient = askPvKeys({
    url: options.verifyUrl,
    token: options.serviceToken,
    timeoutMs: options.timeoutMs ?? 800,
  });
  const good = boundedMap<Known>(maxEntries);
  // Apart from the good ones: a flood of invented keys pushes out only other invented keys.
  const bad = boundedMap<Known>(maxEntries);
  const asking = new Map<string, Promise<VerifyKeyAnswer>>();
  // After a failure nobody asks for a moment: a hung pv-keys costs one deadline, not one per request.
  let pausedUntil = 0;

  const ask = async (key: string, digest: string): Promise<VerifyKeyAnswer> => {
    const askedAt = clock.monotonic();
    if (askedAt < pausedUntil) throw new Error("pv-keys did not answer a moment ago");
    const answer = await client.ask(key).catch((error: unknown) => {
      pausedUntil = clock.monotonic() + pauseMs;
      throw error;
    });
    (answer.valid ? bad : good).delete(digest);
    (answer.valid ? good : bad).set(digest, { answer, askedAt });
    return answer;
  };
  const askOnce = (key: string, digest: string): Promise<VerifyKeyAnswer> => {
    let running = asking.get(digest);
    if (!running) {
      running = ask(key, digest).finally(() => asking.delete(digest));
      asking.set(digest, running);
    }
    return running;
  };

  return {
    async check(key) {
      if (!parseApiKey(key)) return notFound;
      const digest = hash("sha256", key);
      const known = good.get(digest) ?? bad.get(digest);
      if (known && clock.monotonic() - known.askedAt < cacheMs) return atThisTime(known.answer, clock);
      try {
        return atThisTime(await askOnce(key, digest), clock);
      } catch (error) {
        if (known?.answer.valid && clock.monotonic() - known.askedAt < blindMs) return atThisTime(known.answer, clock);
        throw new Problem("unavailable", undefined, { cause: error, headers: { "retry-after": "2" } });
      }
    },
    close: () => client.close(),
  };
}

/** Nothing is served past its own expiry, however fresh the answer. */
function atThisTime(answer: VerifyKeyAnswer, clock: Clock): VerifyKeyAnswer {
  if (answer.valid && answer.expires_at !== null && Date.parse(answer.expires_at) <= clock.now())
    return { valid: false, code: "expired" };
  return answer;
}
