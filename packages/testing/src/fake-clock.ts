import type { Clock } from "@nexus/core";

export interface FakeClock extends Clock {
  /** Both times go on by `ms`. */
  advance(ms: number): void;
  /** The operator sets the wall clock; monotonic time does not notice. */
  setWall(ms: number): void;
}

/** A clock that stands still until told. Starts at the true time, as rows meet PostgreSQL's `now()`. */
export function fakeClock(startMs: number = Date.now()): FakeClock {
  let wall = startMs;
  let monotonic = 0;
  return {
    now: () => wall,
    monotonic: () => monotonic,
    advance: (ms) => {
      wall += ms;
      monotonic += ms;
    },
    setWall: (ms) => {
      wall = ms;
    },
  };
}
