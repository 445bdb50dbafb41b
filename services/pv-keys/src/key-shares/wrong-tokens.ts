/** How many wrong tokens an address may try. Guessing 256 bits is hopeless; this keeps the tries from costing a statement each. */
import { type Clock, Problem } from "@nexus/core";

const mostWrong = 20;
const windowMs = 60_000;
/** Addresses remembered; beyond it the one that was first is forgotten. */
const mostAddresses = 10_000;

export interface WrongTokens {
  /** @throws Problem `rate_limited` when the address has tried too often */
  admit(ip: string): void;
  count(ip: string): void;
}

export function countWrongTokens({ clock }: { clock: Clock }): WrongTokens {
  const tries = new Map<string, { wrong: number; untilMs: number }>();
  const recent = (ip: string) => {
    const entry = tries.get(ip);
    return entry && entry.untilMs > clock.monotonic() ? entry : undefined;
  };
  return {
    admit: (ip) => {
      const entry = recent(ip);
      if (!entry || entry.wrong < mostWrong) return;
      const seconds = Math.ceil((entry.untilMs - clock.monotonic()) / 1000);
      throw new Problem("rate_limited", undefined, { headers: { "retry-after": String(seconds) } });
    },
    count: (ip) => {
      const { wrong, untilMs } = recent(ip) ?? { wrong: 0, untilMs: clock.monotonic() + windowMs };
      tries.delete(ip);
      tries.set(ip, { wrong: wrong + 1, untilMs });
      const [oldest] = tries.size > mostAddresses ? tries.keys() : [];
      if (oldest !== undefined) tries.delete(oldest);
    },
  };
}
