/**
 * Counts how keys are used, in memory, and writes the counts every few seconds in one statement. What a killed process had
 * counted since is lost: at most that span.
 */
import { type Clock, newUuid, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { KnownKey } from "./key-cache.ts";
import { type CountedUse, recordKeyUses } from "./keys.store.ts";

export type UseOutcome = CountedUse["outcome"];

export interface KeyUses {
  /** A decision about a key that exists. */
  note(known: KnownKey, outcome: UseOutcome): void;
  /** Writes what is left, or gives up after one try. */
  close(): Promise<void>;
}

interface Options {
  db: Db;
  clock: Clock;
  service: string;
  /** PostgreSQL's time, ms. */
  now: () => number;
  logger: { warn(fields: object, message: string): void };
}

/** How often counts are written, ms: what `kill -9` loses. */
const writeEveryMs = 5000;
/** Rows of one statement. */
const largestBatch = 1000;

export function openKeyUses(options: Options): KeyUses {
  const { db, service, now, logger } = options;
  const writerId = newUuid();
  /**
   * Where the uses of each secret are counted until they are written. A key that was forgotten and asked about again goes on
   * counting where it did before, so there is one entry a secret in use, however long nothing can be written.
   */
  const counted = new Map<string, KnownKey>();
  /** A batch that was sent, and may have been written though its answer did not come: it is sent again as it was. */
  let sending: { seq: number; uses: readonly CountedUse[] } | undefined;
  let seq = 0;
  let failing = false;
  let writing = Promise.resolve();

  const write = async (): Promise<void> => {
    try {
      for (;;) {
        sending ??= nextBatch();
        if (!sending) break;
        await recordKeyUses(db, { writerId, service, ...sending });
        sending = undefined;
      }
      failing = false;
    } catch (error) {
      if (!failing)
        logger.warn({ event: "key_uses", err: error }, "uses of keys are counted, and cannot be written at the moment");
      failing = true;
    }
  };
  const nextBatch = (): typeof sending => {
    if (counted.size === 0) return undefined;
    return { seq: ++seq, uses: takeBatch(counted) };
  };
  const countsOf = (known: KnownKey): KnownKey["uses"] => {
    const name = `${known.record?.key_id} ${known.record?.version}`;
    const other = counted.get(name);
    if (other) return (known.uses = other.uses);
    known.uses.since = now();
    counted.set(name, known);
    return known.uses;
  };
  const timer = setInterval(() => void (writing = writing.then(write)), writeEveryMs);
  timer.unref();
  return {
    note: (known, outcome) => {
      const uses = known.uses.valid === 0 && !known.uses.refused ? countsOf(known) : known.uses;
      if (outcome === "valid") uses.valid++;
      else {
        uses.refused ??= new Map();
        uses.refused.set(outcome, (uses.refused.get(outcome) ?? 0) + 1);
      }
    },
    close: async () => {
      clearInterval(timer);
      await (writing = writing.then(write));
    },
  };
}

function takeBatch(counted: Map<string, KnownKey>): CountedUse[] {
  const uses: CountedUse[] = [];
  let taken = 0;
  for (const [name, known] of counted) {
    if (++taken > largestBatch) break;
    uses.push(...takeCounts(known));
    counted.delete(name);
  }
  return uses;
}

function takeCounts({ record, uses }: KnownKey): CountedUse[] {
  const keyId = record && uuidOf("key", record.key_id);
  if (!record || !keyId) return [];
  const row = { key_id: keyId, version: record.version, last_used_at: new Date(uses.since).toISOString() };
  const counts: [UseOutcome, number][] = [["valid", uses.valid], ...(uses.refused ?? [])];
  uses.valid = 0;
  uses.refused = undefined;
  return counts.flatMap(([outcome, count]) => (count === 0 ? [] : [{ ...row, outcome, uses: count }]));
}
