import { once } from "node:events";
import { newId } from "@nexus/core";
import type { KeyLimit, LimitedKey } from "@nexus/limits";
import { startTestRedis } from "@nexus/testing";
import { atMost, type Benchmark, median, type Outcome, type RunOptions, type Sample } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import type { LimitJob, LimitReport } from "../load/limit-job.ts";
import { forkProgram } from "../platform/start-child.ts";

const program = new URL("../load/limit-callers.ts", import.meta.url).pathname;
const replicas = 3;
const callers = 256;

/** Each is one side: what a customer would set, and one that is so wide that only the cost of counting shows. */
const sides: readonly { name: string; limits: readonly KeyLimit[] }[] = [
  { name: "one window", limits: [{ name: "second", limit: 1000, window_seconds: 1 }] },
  {
    name: "three windows",
    limits: [
      { name: "second", limit: 50, window_seconds: 1 },
      { name: "minute", limit: 600, window_seconds: 60 },
      { name: "day", limit: 100_000, window_seconds: 86_400 },
    ],
  },
  { name: "one wide window", limits: [{ name: "minute", limit: 6_000_000, window_seconds: 60 }] },
];

/** A call is too many when more than limit + rate × t were admitted up to its time, over all replicas together. */
export const keysLimits: Benchmark = {
  id: "keys-limits",
  what: `rate limit over ${replicas} replicas, ${callers} callers each`,
  against: "—",
  bar: "over-admission 0",
  run,
};

async function run(options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const redis = await startTestRedis();
  try {
    const rounds = [];
    for (let round = 1; round <= options.rounds; round++) {
      const samples: Sample[] = [];
      for (const { name, limits } of sides) samples.push(await measure(name, limits, redis.target.url, options.seconds));
      rounds.push({ round, samples });
      options.log(`round ${round} of ${options.rounds}`);
    }
    const all = rounds.flatMap(({ samples }) => samples);
    const worst = Math.max(...all.map(({ errors }) => errors ?? 0));
    const wide = all.filter(({ side }) => side === "one wide window").map((sample) => Number(sample["redisCallsPerThousand"]));
    return {
      parts: [
        atMost("calls admitted beyond limit + rate × t, worst moment", worst, 0, "calls"),
        atMost("Redis calls for 1,000 admitted calls, wide window", median(wide), 100, "calls"),
      ],
      rounds,
      conditions: { ...before, replicas, concurrency: replicas * callers, redis: redis.kind },
    };
  } finally {
    await redis.stop();
  }
}

async function measure(side: string, limits: readonly KeyLimit[], redisUrl: string, seconds: number): Promise<Sample> {
  // Younger than whatever Redis has lost: the key has its whole limit.
  const createdAt = new Date(Date.now() + 60_000).toISOString();
  const key: LimitedKey = { key_id: newId("key"), created_at: createdAt, limits, concurrency: null, quota: null };
  const job: LimitJob = { redisUrl, key, callers, replicas, seconds };
  const children = Array.from({ length: replicas }, () => forkProgram(program));
  try {
    const heard = children.map(async ({ process: child }) => {
      const ready = once(child, "message");
      child.send(job);
      await ready;
      return child;
    });
    const ready = await Promise.all(heard);
    const reports = ready.map(async (child) => ((await once(child, "message")) as [LimitReport])[0]);
    for (const child of ready) child.send("start");
    return sampleOf(side, limits, await Promise.all(reports));
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

function sampleOf(side: string, limits: readonly KeyLimit[], reports: readonly LimitReport[]): Sample {
  const startedAt = Math.min(...reports.map((report) => report.startedAt));
  const admittedAt = reports.flatMap((report) => report.admittedAt).toSorted((a, b) => a - b);
  const sum = (pick: (report: LimitReport) => number): number => reports.reduce((total, report) => total + pick(report), 0);
  const elapsedMs = (admittedAt.at(-1) ?? startedAt) - startedAt;
  const asked = sum((report) => report.asked);
  return {
    side,
    ratePerSecond: Math.round((asked / elapsedMs) * 1000),
    cpuMicrosPerRequest: Math.round((sum((report) => report.cpuMicros) / asked) * 100) / 100,
    errors: Math.max(...limits.map((limit) => excess(admittedAt, startedAt, limit))),
    admitted: admittedAt.length,
    redisCallsPerThousand: Math.round((sum((report) => report.redisCalls) / admittedAt.length) * 1000),
  };
}

/** Calls beyond the limit at the worst moment. */
function excess(admittedAt: readonly number[], startedAt: number, { limit, window_seconds: seconds }: KeyLimit): number {
  return admittedAt.reduce((worst, at, index) => {
    const allowed = Math.floor(limit + ((at - startedAt) / 1000) * (limit / seconds));
    return Math.max(worst, index + 1 - allowed);
  }, 0);
}
