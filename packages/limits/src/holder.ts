/** Something that holds what others could use, and gives it back. */
export interface Holder {
  readonly isHolding: boolean;
  /**
   * Gives back what is over or idle; told `now`, whatever can be given. Resolves when that is done, or cannot be done; never
   * rejects.
   */
  settle(now: number, mode?: "when over" | "now"): Promise<void>;
  /** Redis may have forgotten what it was told. */
  forgotten?(): void;
}

/** Somebody who waits for uses to be leased. */
export interface Waiter<Outcome> {
  readonly cost: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}
