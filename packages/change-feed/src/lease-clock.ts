/** How long what a verifier knows may be relied on, and what time it is for keys that expire. */
import type { Clock } from "@nexus/core";

/** Milliseconds from sending a renewal until the lease is over. */
export const leaseMs = 1500;

export interface LeaseClock {
  /** A renewal that was sent at these moments of the clock has been applied whole. */
  renewed(sent: Moment, databaseNow: number): void;
  isSighted(): boolean;
  /** Milliseconds since the lease ran out; 0 while it holds, `Infinity` before the first one. */
  blindForMs(): number;
  /** PostgreSQL's time in milliseconds, carried on by the monotonic clock; it never goes back. */
  now(): number;
}

export interface Moment {
  monotonic: number;
  wall: number;
}

/** The wall clock is looked at beside the monotonic one, because that stands still while a virtual machine is suspended. */
export function leaseClock(clock: Clock): LeaseClock {
  let until: Moment | undefined;
  let reference: { databaseNow: number; at: number } | undefined;
  const now = (): number => (reference ? reference.databaseNow + clock.monotonic() - reference.at : clock.now());
  return {
    renewed: (sent, databaseNow) => {
      until = { monotonic: sent.monotonic + leaseMs, wall: sent.wall + leaseMs };
      // PostgreSQL read its clock after this moment: counted from it, a key ends a round trip early and never late.
      const told = databaseNow + clock.monotonic() - sent.monotonic;
      reference = { databaseNow: reference ? Math.max(told, now()) : told, at: clock.monotonic() };
    },
    isSighted: () => until !== undefined && clock.monotonic() < until.monotonic && clock.now() < until.wall,
    blindForMs: () => {
      if (until === undefined) return Infinity;
      return Math.max(0, clock.monotonic() - until.monotonic, clock.now() - until.wall);
    },
    now,
  };
}
