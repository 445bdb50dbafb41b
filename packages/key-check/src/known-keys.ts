/** What is known about keys, by the SHA-256 of each: bounded, and honest about its age. The keys themselves are not kept. */
import type { RefusedKey, VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import type { Clock } from "@nexus/core";

export interface KnownKey {
  readonly answer: VerifyKeyAnswer;
  /** Monotonic milliseconds at which the question was sent: the answer may be that old, whenever it came back. */
  readonly askedAt: number;
  /** Wall milliseconds of the key's own expiry; `Infinity` when it has none. */
  readonly expiresAt: number;
  /** The same moment in monotonic milliseconds: a wall clock that is set back revives nothing. */
  readonly expiresAtMonotonic: number;
}

export interface KnownKeys {
  get(digest: string): KnownKey | undefined;
  set(digest: string, answer: VerifyKeyAnswer, askedAt: number): KnownKey;
}

const expired: RefusedKey = Object.freeze({ valid: false, code: "expired" });

/** Valid and refused keys have bounds of their own, so that a flood of invented keys cannot push a customer's key out. */
export function openKnownKeys(clock: Clock, bounds: { valid: number; refused: number }): KnownKeys {
  const valid = new Map<string, KnownKey>();
  const refused = new Map<string, KnownKey>();
  return {
    get: (digest) => valid.get(digest) ?? refused.get(digest),
    set: (digest, answer, askedAt) => {
      const known = { answer, askedAt, ...expiryOf(answer, clock) };
      valid.delete(digest);
      refused.delete(digest);
      const [map, bound] = answer.valid ? [valid, bounds.valid] : [refused, bounds.refused];
      map.set(digest, known);
      // A key in use is asked about again every second and so moves to the end: the first one is the longest unused.
      if (map.size > bound) dropFirst(map);
      return known;
    },
  };
}

/** What may be said about the key at the moment `monotonic` of the clock: a valid answer ends when the key does. */
export function answerAt(known: KnownKey, monotonic: number, clock: Clock): VerifyKeyAnswer {
  if (known.expiresAt === Infinity) return known.answer;
  return monotonic >= known.expiresAtMonotonic || clock.now() >= known.expiresAt ? expired : known.answer;
}

function expiryOf(answer: VerifyKeyAnswer, clock: Clock): Pick<KnownKey, "expiresAt" | "expiresAtMonotonic"> {
  if (!answer.valid || answer.expires_at === null) return { expiresAt: Infinity, expiresAtMonotonic: Infinity };
  const expiresAt = Date.parse(answer.expires_at);
  return { expiresAt, expiresAtMonotonic: clock.monotonic() + expiresAt - clock.now() };
}

function dropFirst(map: Map<string, KnownKey>): void {
  for (const digest of map.keys()) {
    map.delete(digest);
    return;
  }
}
