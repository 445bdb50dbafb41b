/** Bounds how many texts that stand for no key one client may have looked up, so that a flood of invented keys ends here. */
import { clientNetwork, type Clock, Problem } from "@nexus/core";

export interface UnknownLimiter {
  /** Takes one lookup from the client's allowance. @throws Problem `rate_limited` with Retry-After */
  take(client: string): void;
  /** It was a key after all. */
  giveBack(client: string): void;
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
    take: (client) => {
      const name = clientNetwork(client);
      const now = clock.monotonic();
      const next = Math.max(paidAt.get(name) ?? now, now) + intervalMs;
      const waitMs = next - now - burst * intervalMs;
      if (waitMs > 0) {
        throw new Problem("rate_limited", "Too many unknown keys came from this address.", {
          headers: { "retry-after": String(Math.ceil(waitMs / 1000)) },
        });
      }
      keep(name, next);
    },
    giveBack: (client) => {
      const name = clientNetwork(client);
      const at = paidAt.get(name);
      if (at !== undefined) keep(name, at - intervalMs);
    },
  };
}
