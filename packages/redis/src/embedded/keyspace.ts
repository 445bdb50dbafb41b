import { CommandError, wrongType } from "./reply.ts";
import { SortedSet } from "./sorted-set.ts";

interface Values {
  string: string;
  hash: Map<string, string>;
  set: Set<string>;
  zset: SortedSet;
}
export type Kind = keyof Values;

export interface Entry<K extends Kind = Kind> {
  readonly kind: K;
  value: Values[K];
  /** Milliseconds since the epoch; absent: never. */
  expiresAt: number | undefined;
  /** An estimate of what it takes. */
  bytes: number;
}

/** What a Map entry, a string header and an object take, about. */
const entryOverhead = 96;
export const memberOverhead = 64;

const sweepForMs = 5;

/** Every key, with its expiry and an estimate of the memory. Time stands still within one command, script or transaction. */
export class Keyspace {
  readonly #entries = new Map<string, Entry>();
  readonly #expiring = new Set<string>();
  readonly #wallClock: () => number;
  readonly maxBytes: number;
  #sweep: Iterator<string> | undefined;
  #bytes = 0;
  #now: number;

  constructor(maxBytes: number, wallClock: () => number) {
    this.maxBytes = maxBytes;
    this.#wallClock = wallClock;
    this.#now = wallClock();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get now(): number {
    return this.#now;
  }

  tick(): void {
    this.#now = this.#wallClock();
  }

  find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry?.expiresAt === undefined || entry.expiresAt > this.#now) return entry;
    this.delete(key);
    return undefined;
  }

  /** @throws CommandError when the key holds another kind */
  findKind<K extends Kind>(key: string, kind: K): Entry<K> | undefined {
    const entry = this.find(key);
    if (entry && entry.kind !== kind) throw new CommandError(wrongType);
    return entry as Entry<K> | undefined;
  }

  /** The entry, made empty where there is none. @throws CommandError when the key holds another kind */
  open<K extends Exclude<Kind, "string">>(key: string, kind: K): Entry<K> {
    const found = this.findKind(key, kind);
    if (found) return found;
    const empty: { [E in Exclude<Kind, "string">]: () => Values[E] } = {
      hash: () => new Map(),
      set: () => new Set(),
      zset: () => new SortedSet(),
    };
    return this.#put(key, { kind, value: empty[kind](), expiresAt: undefined, bytes: entryOverhead + key.length });
  }

  setString(key: string, value: string, expiresAt: number | undefined): void {
    this.#put(key, { kind: "string", value, expiresAt: undefined, bytes: entryOverhead + key.length + value.length });
    if (expiresAt !== undefined) this.expire(key, expiresAt);
  }

  #put<K extends Kind>(key: string, entry: Entry<K>): Entry<K> {
    this.delete(key);
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    return entry;
  }

  /** After an entry grew or shrank. An empty collection is no key. */
  changed(key: string, entry: Entry<"hash" | "set" | "zset">, deltaBytes: number): void {
    entry.bytes += deltaBytes;
    this.#bytes += deltaBytes;
    if (entry.value.size === 0) this.delete(key);
  }

  expire(key: string, at: number | undefined): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    entry.expiresAt = at;
    if (at === undefined) this.#expiring.delete(key);
    else if (at <= this.#now) this.delete(key);
    else this.#expiring.add(key);
  }

  delete(key: string): boolean {
    const entry = this.#entries.get(key);
    if (!entry) return false;
    this.#entries.delete(key);
    this.#expiring.delete(key);
    this.#bytes -= entry.bytes;
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#expiring.clear();
    this.#bytes = 0;
  }

  /** Those that have not expired. */
  keys(): string[] {
    return [...this.#entries.keys()].filter((key) => this.find(key) !== undefined);
  }

  /** @throws CommandError when a command that may take memory comes and there is none left */
  ensureRoom(): void {
    if (this.#bytes <= this.maxBytes) return;
    for (const key of this.#expiring) this.find(key);
    if (this.#bytes > this.maxBytes) throw new CommandError("OOM command not allowed when used memory > 'maxmemory'.");
  }

  /** Removes expired keys that nobody asks for; goes on next time where it ran out of time. */
  sweep(): void {
    this.tick();
    const until = performance.now() + sweepForMs;
    this.#sweep ??= this.#expiring.values();
    for (let seen = 1; ; seen++) {
      const next = this.#sweep.next();
      if (next.done === true) return void (this.#sweep = undefined);
      this.find(next.value);
      if (seen % 256 === 0 && performance.now() > until) return;
    }
  }
}
