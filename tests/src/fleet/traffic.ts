/** Callers that never stop asking, and the one question about what they were told. */
import { setTimeout as delay } from "node:timers/promises";
import type { Replica, Verdict } from "./replica.ts";

interface Check {
  replica: string;
  secret: string;
  verdict: Verdict;
  /** `performance.now()` before the question was sent, and when its answer was there. */
  startedAt: number;
  endedAt: number;
}

export interface Traffic {
  readonly checks: Check[];
  /** Answers so far from this replica, refusals included. */
  answersOf(replica: Replica): number;
  /** The checks that were accepted although they began after their key's end was confirmed; empty unless something is broken. */
  acceptedAfter(confirmedAt: ReadonlyMap<string, number>): Check[];
  stop(): Promise<void>;
}

interface TrafficOptions {
  /** Callers for each replica; 2 unless told. */
  callers?: number;
  timeoutMs?: number;
  /** Milliseconds between an answer and the same caller's next question; 0 unless told. */
  thinkMs?: number;
}

/** Each caller asks one replica about one of the secrets after the other, drawn by lot. */
export function startTraffic(
  replicas: readonly Replica[],
  secrets: readonly string[],
  { callers = 2, timeoutMs = 3000, thinkMs = 0 }: TrafficOptions = {},
): Traffic {
  const checks: Check[] = [];
  const answers = new Map<string, number>();
  const stop = new AbortController();
  const run = async (replica: Replica): Promise<void> => {
    while (!stop.signal.aborted) {
      const secret = secrets[Math.floor(Math.random() * secrets.length)]!;
      const startedAt = performance.now();
      const verdict = await replica.check(secret, { timeoutMs });
      const endedAt = performance.now();
      checks.push({ replica: replica.name, secret, verdict, startedAt, endedAt });
      if (verdict !== "silent") answers.set(replica.name, (answers.get(replica.name) ?? 0) + 1);
      // A caller that is refused at once comes back, but not in a spin.
      const restMs = verdict === "accepted" ? thinkMs : Math.max(2, thinkMs);
      if (restMs > 0) await delay(restMs);
    }
  };
  const running = replicas.flatMap((replica) => Array.from({ length: callers }, () => run(replica)));
  return {
    checks,
    answersOf: ({ name }) => answers.get(name) ?? 0,
    acceptedAfter: (confirmedAt) =>
      checks.filter(({ secret, startedAt, verdict }) => {
        return verdict === "accepted" && startedAt > (confirmedAt.get(secret) ?? Infinity);
      }),
    stop: async () => {
      stop.abort();
      await Promise.all(running);
    },
  };
}
