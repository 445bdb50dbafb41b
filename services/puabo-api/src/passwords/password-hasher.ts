import { Problem } from "@nexus/core";
/**
 * argon2id with OWASP's parameters (m=19456 KiB, t=2, p=1) behind a bounded queue. A hash takes 19 MiB and several
 * milliseconds of a thread of libuv's pool, which files and DNS use too: without a bound, a flood of sign-ins would take the
 * memory and starve everything else of the process.
 */
import { type Algorithm, hash, verify } from "@node-rs/argon2";

export interface PasswordHasher {
  /** A PHC string of the password. @throws Problem `unavailable` when the queue is full */
  hash(password: string): Promise<string>;
  /**
   * Whether the password is the one behind `stored`; with `undefined` (no such account) it takes as long and is false.
   * `rehash`: stored with other parameters than today's. @throws Problem `unavailable` when the queue is full
   */
  verify(stored: string | undefined, password: string): Promise<{ matches: boolean; rehash: boolean }>;
}

interface Options {
  /** Hashes at once. */
  parallel: number;
  /** Hashes that may wait; one more is refused. */
  maxWaiting: number;
}

const parameters = { algorithm: 2 satisfies Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const todaysParameters = "$argon2id$v=19$m=19456,t=2,p=1$";

/** libuv's pool has four threads unless told otherwise; one stays free for files and DNS. */
const mostParallel = 3;

export function parallelHashes(cores: number): number {
  return Math.max(1, Math.min(cores, mostParallel));
}

/** Opens the queue; hashes one random password, so that an unknown account costs what a known one does. */
export async function openPasswordHasher(options: Options): Promise<PasswordHasher> {
  const queue = boundedQueue(options);
  const decoy = await hash(crypto.randomUUID(), parameters);
  return {
    hash: (password) => queue(() => hash(normalizePassword(password), parameters)),
    verify: (stored, password) =>
      queue(async () => {
        const matches = await verify(stored ?? decoy, normalizePassword(password));
        return { matches: matches && stored !== undefined, rehash: stored?.startsWith(todaysParameters) === false };
      }),
  };
}

/** NFKC (NIST SP 800-63B-4 §3.1.1.2): the same password typed on another system may come in other code points. */
export function normalizePassword(password: string): string {
  return password.toWellFormed().normalize("NFKC");
}

function boundedQueue({ parallel, maxWaiting }: Options): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (running >= parallel) {
      if (waiting.length >= maxWaiting) {
        throw new Problem("unavailable", "too many sign-ins at this moment", { headers: { "retry-after": "1" } });
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      running++;
    }
    try {
      return await work();
    } finally {
      // The place is handed over, not freed: nobody who comes now can slip in before those who wait.
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}
