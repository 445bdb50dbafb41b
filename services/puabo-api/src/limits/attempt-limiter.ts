import { hash } from "node:crypto";
import { clientNetwork, type Clock, Problem } from "@nexus/core";
import { type Cache, CacheUnavailable, takeFromWindows } from "@nexus/redis";
import { intervalOf, type Quota, takeOne } from "./gcra.ts";

/** Bounds guessing. Each method is one attempt. */
export interface AttemptLimiter {
  /** @throws Problem `rate_limited` with Retry-After */
  admitSignIn(email: string, ip: string | undefined): Promise<void>;
  /** @throws Problem `rate_limited` with Retry-After */
  admitSignUp(ip: string | undefined): Promise<void>;
  /** Whoever knew the password gets their attempt on the account back: only failures count. */
  forgive(email: string): Promise<void>;
}

interface AttemptQuotas {
  account: Quota;
  network: Quota;
  everybody: Quota;
  signUp: Quota;
}

interface Options {
  cache: Cache;
  clock: Clock;
  quotas: AttemptQuotas;
}

type Bucket = Quota & { name: string };

/**
 * Limits per network, per account and over all, shared by every replica through Redis; with Redis away each process counts for
 * itself. All or nothing: whoever is stopped by one of them uses up none of the others.
 */
export function openAttemptLimiter({ cache, clock, quotas }: Options): AttemptLimiter {
  const local = openLocalBuckets(clock);
  const accountOf = (email: string): Bucket => ({ ...quotas.account, name: `sign-in:account:${fingerprint(email)}` });
  const everybody: Bucket = { ...quotas.everybody, name: "sign-in:everybody" };
  const admit = async (buckets: Bucket[]): Promise<void> => {
    const retryAfterMs = await takeShared(cache, buckets).catch((error: unknown) => {
      if (error instanceof CacheUnavailable) return local.take(buckets);
      throw error;
    });
    if (retryAfterMs > 0) throw tooMany(retryAfterMs);
  };
  return {
    admitSignIn: (email, ip) =>
      admit([{ ...quotas.network, name: `sign-in:network:${clientNetwork(ip)}` }, accountOf(email), everybody]),
    admitSignUp: (ip) => admit([{ ...quotas.signUp, name: `sign-up:network:${clientNetwork(ip)}` }, everybody]),
    forgive: async (email) => {
      local.giveBack(accountOf(email));
      await takeFromWindows(cache, [accountOf(email)], -1).catch(() => undefined);
    },
  };
}

/** An address is personal; its hash counts as well. */
function fingerprint(email: string): string {
  return hash("sha256", email, "base64url").slice(0, 24);
}

async function takeShared(cache: Cache, buckets: Bucket[]): Promise<number> {
  const verdict = await takeFromWindows(cache, buckets);
  return verdict.allowed ? 0 : Math.max(1, verdict.retryAfterMs);
}

/** Buckets kept in process; the oldest makes room, so that a flood takes no memory. */
const mostLocalBuckets = 20_000;

function openLocalBuckets(clock: Clock) {
  const emptyAt = new Map<string, number>();
  return {
    /** 0, or the milliseconds to wait. */
    take(buckets: Bucket[]): number {
      const now = clock.monotonic();
      const takings = buckets.map((bucket) => ({
        name: bucket.name,
        taking: takeOne(emptyAt.get(bucket.name) ?? 0, now, bucket),
      }));
      const wait = Math.max(0, ...takings.map(({ taking }) => (taking.admitted ? 0 : taking.retryAfterMs)));
      if (wait > 0) return wait;
      for (const { name, taking } of takings) {
        emptyAt.delete(name);
        if (taking.admitted) emptyAt.set(name, taking.emptyAt);
      }
      for (const name of emptyAt.keys()) {
        if (emptyAt.size <= mostLocalBuckets) break;
        emptyAt.delete(name);
      }
      return 0;
    },
    giveBack(bucket: Bucket): void {
      const until = emptyAt.get(bucket.name);
      if (until !== undefined) emptyAt.set(bucket.name, until - intervalOf(bucket));
    },
  };
}

function tooMany(retryAfterMs: number): Problem {
  const seconds = String(Math.ceil(retryAfterMs / 1000));
  // better-auth's clients read the second one.
  const headers = { "retry-after": seconds, "x-retry-after": seconds };
  return new Problem("rate_limited", "Too many requests. Please try again later.", { headers });
}
