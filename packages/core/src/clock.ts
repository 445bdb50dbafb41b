/** Time as a dependency, so that tests can hold it still. */
export interface Clock {
  /** Wall time, milliseconds since the epoch. May be stepped by the operator. */
  now(): number;
  /** Milliseconds that only ever grow; for deadlines and durations. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
