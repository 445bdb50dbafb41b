import { once } from "node:events";
import { type Benchmark, median, type Outcome, rounded, type Round } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import type { FillJob, FillReport } from "../load/fill-job.ts";
import { forkProgram } from "../platform/start-child.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";

const keys = 1_000_000;
const program = new URL("../load/fill-checker.ts", import.meta.url).pathname;

/** Reported and held against nothing: a process keeps 50,000 keys. */
export const keysMemory: Benchmark = {
  id: "keys-memory",
  what: "memory of a process that knows 1,000,000 keys",
  against: "—",
  bar: "reported",
  run: async (options) => {
    const before = conditions(options);
    const platform = await startPlatform();
    try {
      const rounds: Round[] = [];
      for (let round = 1; round <= options.rounds; round++) {
        rounds.push({ round, samples: [await fillOnce(platform)] });
        options.log(`round ${round} of ${options.rounds}`);
      }
      return outcome(rounds, before);
    } finally {
      await platform.stop();
    }
  },
};

function outcome(rounds: Round[], before: ReturnType<typeof conditions>): Outcome {
  const megabytes = (name: string): number =>
    rounded(median(rounds.flatMap(({ samples }) => samples.map((sample) => Number(sample[name])))));
  return {
    parts: [
      { name: "RSS for 1,000,000 keys", value: megabytes("rssMegabytes"), unit: "MB", bar: "reported", met: true },
      { name: "heap of that", value: megabytes("heapMegabytes"), unit: "MB", bar: "reported", met: true },
    ],
    rounds,
    conditions: { ...before, keys, record: "a person's key without limits, metadata or lists, from JSON" },
  };
}

async function fillOnce(platform: Platform): Promise<Round["samples"][number]> {
  const child = forkProgram(program);
  try {
    const started = performance.now();
    child.process.send({ connection: platform.connection("nexus_ai"), keys } satisfies FillJob);
    const ended = once(child.process, "exit").then(() => {
      throw new Error("the process that keeps the keys ended");
    });
    ended.catch(() => {});
    const [report] = (await Promise.race([once(child.process, "message"), ended])) as [FillReport];
    const elapsedMs = performance.now() - started;
    return {
      side: "key-check",
      ratePerSecond: Math.round((keys / elapsedMs) * 1000),
      cpuMicrosPerRequest: 0,
      rssMegabytes: Math.round(report.rssBytes / 1e6),
      heapMegabytes: Math.round(report.heapBytes / 1e6),
    };
  } finally {
    await child.stop();
  }
}
