import { setTimeout as delay } from "node:timers/promises";
import { atMost, type Benchmark, type Outcome, reported, type Round, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { type BudgetScene, measureFault } from "../platform/measure-fault.ts";
import { startBudgetScene } from "../platform/start-budget-scene.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";

const calls = 500;

interface Fault {
  name: string;
  inject: (scene: BudgetScene) => Promise<void>;
}

const faults: readonly Fault[] = [
  { name: "nothing breaks", inject: async () => {} },
  { name: "kill -9 of a gateway; a neighbour replays its journal", inject: ({ gateways }) => gateways.kill(1) },
  {
    name: "SIGSTOP of a gateway for 2 s",
    inject: async ({ gateways }) => {
      gateways.signal(1, "SIGSTOP");
      await delay(2000);
      gateways.signal(1, "SIGCONT");
    },
  },
  { name: "Redis killed, and back with nothing in it", inject: ({ emptyRedis }) => emptyRedis() },
  { name: "PostgreSQL restarted", inject: ({ restartPostgres }) => restartPostgres() },
  {
    name: "all of it at once",
    inject: async ({ gateways, emptyRedis, restartPostgres }) => {
      gateways.signal(2, "SIGSTOP");
      await Promise.all([gateways.kill(1), emptyRedis(), restartPostgres(), delay(1000)]);
      gateways.signal(2, "SIGCONT");
    },
  },
];

export const gatewayBudget: Benchmark = {
  id: "gateway-budget",
  what: `${calls} calls at once on 3 gateways and a budget for half of them, while things break`,
  against: "—",
  bar: "overspend 0; Σ usage rows = settled",
  counts: "call",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

/** Each round is all faults in turn; how long they last does not depend on `seconds`. */
async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const scene = await startBudgetScene(platform);
  const count = options.size ?? calls;
  const rounds: Round[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const samples = [];
    for (const { name, inject } of faults) {
      const sample = await measureFault(scene, { name, count, inject: () => inject(scene) });
      options.log(`round ${round} of ${options.rounds}, ${name}: ${String(sample["told"])}`);
      samples.push(sample);
    }
    rounds.push({ round, samples });
  }
  const samples = rounds.flatMap((round) => round.samples);
  const worst = (figure: string): number => Math.max(...samples.map((sample) => Number(sample[figure])));
  const sum = (figure: string): number => samples.reduce((total, sample) => total + Number(sample[figure]), 0);
  return {
    parts: [
      atMost("billed by the provider beyond the limit, worst", worst("overspendNanos"), 0, "nano-dollars"),
      atMost("settled + granted beyond the limit at any look, worst", worst("beyondLimitNanos"), 0, "nano-dollars"),
      atMost("settled against the sum of the usage rows, worst", worst("rowsDifferNanos"), 0, "nano-dollars"),
      atMost("still set aside in the end, worst", worst("grantedNanos"), 0, "nano-dollars"),
      atMost("requests at the provider without exactly one row", sum("wrongRows"), 0, ""),
      reported("requests sent, all rounds", samples.length * count, ""),
      reported("looks at the budget while they ran", sum("looks"), ""),
      reported("until the books are closed after the last answer, worst", worst("closedMs"), "ms"),
    ],
    rounds,
    conditions: { ...before, gateways: 3, concurrency: count, log_level: "error" },
  };
}
