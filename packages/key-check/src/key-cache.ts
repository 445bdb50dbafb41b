/** What is known about keys, by the SHA-256 of each. The keys themselves are not kept. */
import type { KeyRecord } from "@nexus/contracts/key-record";
import type { FrozenTarget } from "@nexus/contracts/key-record";
import type { RefusedKey, KeyAnswer } from "@nexus/contracts/verify-key";
import type { CountedUse } from "./keys.store.ts";

export interface KnownKey {
  readonly record: KeyRecord | null;
  /** What may be said while the key's time is not over. */
  readonly answer: KeyAnswer;
  /** PostgreSQL's milliseconds from which on the key is expired; `Infinity` when it has no end. */
  readonly expiresAt: number;
  /** Root and service keys: never served by a process that cannot hear of their end. */
  readonly isAdminClass: boolean;
  /** Monotonic milliseconds until which a digest that stands for nothing is not asked about again. */
  readonly until: number;
  /** Decisions that are not written down yet, and PostgreSQL's milliseconds of the first; what is known twice of a key shares them. */
  uses: { valid: number; refused: Map<CountedUse["outcome"], number> | undefined; since: number };
}

export interface KeyCache {
  get(digest: string): KnownKey | undefined;
  set(digest: string, known: KnownKey): void;
  /** Forgets every secret of the key. A key that nobody here knows may be a new one: then what was not found is forgotten. */
  evict(keyId: string): void;
  clear(): void;
  /** Entries: keys that exist, and digests that stand for none. */
  sizes(): { known: number; unknown: number };
}

const refusals = new Map(
  (["not_found", "revoked", "disabled", "expired", "frozen"] as const).map((code): [string, RefusedKey] => [
    code,
    Object.freeze({ valid: false, code }),
  ]),
);

export function refusal(code: "not_found" | "revoked" | "disabled" | "expired" | "frozen"): RefusedKey {
  const answer = refusals.get(code);
  if (!answer) throw new Error("assertion failed: every refusal has its answer");
  return answer;
}

const frozenRefusals = new Map<FrozenTarget["kind"], RefusedKey>();
const kindsBehind = new WeakMap<KeyAnswer, FrozenTarget["kind"]>();

/** The refusal by a freeze, one object a kind. */
export function frozenRefusal({ kind }: Pick<FrozenTarget, "kind">): RefusedKey {
  let answer = frozenRefusals.get(kind);
  if (!answer) {
    frozenRefusals.set(kind, (answer = Object.freeze({ valid: false, code: "frozen" })));
    kindsBehind.set(answer, kind);
  }
  return answer;
}

/** What is frozen, for the key's own caller: the answer of a verification does not say it. */
export function freezeBehind(answer: KeyAnswer): FrozenTarget["kind"] | undefined {
  return kindsBehind.get(answer);
}

export function knownKey(record: KeyRecord | null, until: number): KnownKey {
  const unused = { uses: { valid: 0, refused: undefined, since: 0 } };
  if (!record) return { ...unused, record, until, answer: refusal("not_found"), expiresAt: Infinity, isAdminClass: false };
  return {
    ...unused,
    until,
    record: Object.freeze(record),
    answer: record.state === "active" ? Object.freeze({ valid: true, ...record, state: record.state }) : refusal(record.state),
    expiresAt: record.state === "active" && record.expires_at !== null ? Date.parse(record.expires_at) : Infinity,
    isAdminClass: record.kind !== "sk",
  };
}

/** Keys and what is none have bounds of their own, so that a flood of invented keys cannot push a customer's key out. */
export function openKeyCache(bounds: { known: number; unknown: number }): KeyCache {
  const known = new Map<string, KnownKey>();
  const unknown = new Map<string, KnownKey>();
  /** The digests of each key: one, or a few while it is rotated. */
  const digestsOf = new Map<string, string | string[]>();

  const forget = (digest: string): void => {
    const entry = known.get(digest);
    if (!entry?.record) return;
    known.delete(digest);
    const { key_id: keyId } = entry.record;
    const rest = listOf(digestsOf.get(keyId)).filter((other) => other !== digest);
    if (rest.length === 0) digestsOf.delete(keyId);
    else digestsOf.set(keyId, rest);
  };
  return {
    get: (digest) => known.get(digest) ?? unknown.get(digest),
    set: (digest, entry) => {
      forget(digest);
      unknown.delete(digest);
      if (!entry.record) {
        unknown.set(digest, entry);
        if (unknown.size > bounds.unknown) dropFirst(unknown, (first) => unknown.delete(first));
        return;
      }
      known.set(digest, entry);
      const { key_id: keyId } = entry.record;
      const others = digestsOf.get(keyId);
      digestsOf.set(keyId, others === undefined ? digest : [...listOf(others), digest]);
      // The longest known: what is in use is asked for again at once, and that costs one question.
      if (known.size > bounds.known) dropFirst(known, forget);
    },
    evict: (keyId) => {
      const digests = digestsOf.get(keyId);
      if (digests === undefined) unknown.clear();
      else for (const digest of listOf(digests)) forget(digest);
    },
    clear: () => {
      known.clear();
      unknown.clear();
      digestsOf.clear();
    },
    sizes: () => ({ known: known.size, unknown: unknown.size }),
  };
}

function listOf(digests: string | string[] | undefined): string[] {
  if (digests === undefined) return [];
  return typeof digests === "string" ? [digests] : digests;
}

function dropFirst(map: Map<string, KnownKey>, drop: (digest: string) => unknown): void {
  for (const digest of map.keys()) {
    drop(digest);
    return;
  }
}
