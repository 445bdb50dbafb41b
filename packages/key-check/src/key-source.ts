import type { FrozenTarget, KeyRecord } from "@nexus/contracts/key-record";

/** What was found under a digest, and how new it is. */
export interface Found {
  /** `null`: there is no such key. */
  readonly record: KeyRecord | null;
  /** Of the change feed. */
  readonly generation: string;
  /** Every change up to this revision is in it. */
  readonly asOf: number;
  /** What is frozen within the key's organization; absent where that was not told. */
  readonly freezes?: readonly FrozenTarget[] | undefined;
}

/** Who can tell what a digest stands for. */
export interface KeySource {
  /**
   * @param digest SHA-256 of the whole key
   * @param minRev the answer has to know everything up to this revision of the change feed
   * @throws Error when nobody can tell at the moment
   */
  find(digest: Buffer, minRev: number): Promise<Found>;
  close(): Promise<void>;
}
