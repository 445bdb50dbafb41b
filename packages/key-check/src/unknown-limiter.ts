/** Bounds how many texts that stand for no key one client may have looked up, so that a flood of invented keys ends here. */
import { clientNetwork, type Clock, Problem } from "@nexus/core";

export interface UnknownLimiter {
  /** @throws Problem `rate_limited` with Retry-After for a client that has used up its allowance */
  admit(client: string): void;
  /**
   * What the client asked about stands for no key. Said afterwards: many may come at once with one good key that is not known here
   * yet, or while nobody can tell, and none of them may be stopped for it.
   */
  charge(client: string): void;
}

/** Lookups that may come at once, and how often one more may. */
const burst = 100;
const intervalMs = 200;
/** Clients kept; the longest quiet makes room. */
const mostClients = 20_000;

export function openUnknownLimiter(clock: Clock): UnknownLimiter {
  /** Monotonic milliseconds at which each client's debt is paid. */
  const paidAt = new Map<string, number>();
  const keep = (name: string, at: number): void => {
    paidAt.delete(name);
    if (at > clock.monotonic()) paidAt.set(name, at);
    if (paidAt.size <= mostClients) return;
    for (const oldest of paidAt.keys()) {
      paidAt.delete(oldest);
      return;
    }
  };
  return {
    admit: (client) => {
      const now = clock.monotonic();
      const waitMs = (paidAt.get(clientNetwork(client)) ?? now) + intervalMs - now - burst * intervalMs;
      if (waitMs <= 0) return;
      throw new Problem("rate_limited", "Too many unknown keys came from this address.", {
        headers: { "retry-after": String(Math.ceil(waitMs / 1000)) },
      });
    },
    charge: (client) => {
      const name = clientNetwork(client);
      const now = clock.monotonic();
      // What was under way when the allowance ended counts as well, but nobody is shut out for minutes.
      keep(name, Math.min(Math.max(paidAt.get(name) ?? now, now) + intervalMs, now + 2 * burst * intervalMs));
    },
  };
}
