import { setTimeout as delay } from "node:timers/promises";
import {
  atMost,
  type Benchmark,
  median,
  type Outcome,
  type Part,
  reported,
  type Round,
  type RunOptions,
  type Sample,
} from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { startGateway } from "../platform/start-gateway.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { cpuMicrosOf, rssBytesOf } from "../process-cpu.ts";
import { sendLoad, type Side, startLoad } from "../run-sides.ts";

/** Rounds share the requests; memory after the last is held against memory after the first. */
export const memory: Benchmark = {
  id: "memory",
  what: "resident memory of the gateway and of pv-keys, idle and over 1,000,000 requests each",
  against: "itself after the first round",
  bar: "≤ 150 MB idle, flat (±10 %)",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

const requests = 1_000_000;
/** Before the first round: code gets compiled and pools fill. */
const warmUp = 20_000;
const concurrency = 32;
const everyMs = 250;
const atMostMs = 3_600_000;

async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const sides = await startSides(platform);
  await delay(2000);
  const idle = sides.map(({ pid }) => megabytes(rssBytesOf(pid)));
  const each = Math.max(1, Math.floor((options.size ?? requests) / options.rounds));
  const rounds: Round[] = [];
  const load = startLoad();
  try {
    for (const side of sides) await measure(side, warmUp, load);
    for (let round = 1; round <= options.rounds; round++) {
      const samples: Sample[] = [];
      for (const side of sides) samples.push(await measure(side, each, load));
      rounds.push({ round, samples });
      const told = samples.map((sample) => `${sample.side} ${sample["rssMegabytes"]} MB`).join(", ");
      options.log(`round ${round} of ${options.rounds}: ${told}`);
    }
  } finally {
    await load.stop();
  }
  const [first, ...others] = sides.flatMap(({ name }, index) => partsOf(name, idle[index] ?? Number.NaN, rounds));
  if (!first) throw new Error("nothing was measured");
  return {
    parts: [first, ...others],
    rounds,
    conditions: { ...before, concurrency, warm_up_requests: warmUp, requests_per_round: each, log_level: "warn" },
  };
}

async function startSides(platform: Platform): Promise<Side[]> {
  const { gateway, headers } = await startGateway(platform, { frameMs: 0 });
  const messages = [{ role: "user", content: "Tell me in fifty words what an AI gateway is for." }];
  const key = (headers["authorization"] ?? "").slice("Bearer ".length);
  const verify = { authorization: `Bearer ${platform.serviceToken}`, "content-type": "application/json" };
  return [
    {
      name: "puaboai-sdk",
      pid: gateway.pid,
      job: {
        url: `${gateway.url}/v1/chat/completions`,
        headers,
        body: JSON.stringify({ model: "bench", max_tokens: 100, messages }),
      },
    },
    {
      name: "pv-keys",
      pid: platform.keys.pid,
      job: { url: `${platform.keys.internalUrl}/v1/keys/verify`, headers: verify, body: JSON.stringify({ key }) },
    },
  ];
}

/** Memory is looked at all the while: its middle is steadier than any single look, between two garbage collections. */
async function measure(side: Side, count: number, load: ReturnType<typeof startLoad>): Promise<Sample> {
  const seen = [rssBytesOf(side.pid)];
  const timer = setInterval(() => seen.push(rssBytesOf(side.pid)), everyMs);
  try {
    const before = cpuMicrosOf(side.pid);
    const report = await sendLoad(load, { ...side.job, connections: concurrency, durationMs: atMostMs, requests: count });
    seen.push(rssBytesOf(side.pid));
    return {
      side: side.name,
      ratePerSecond: Math.round((report.requests / report.durationMs) * 1000),
      cpuMicrosPerRequest: Math.round(((cpuMicrosOf(side.pid) - before) / report.requests) * 10) / 10,
      rssMegabytes: megabytes(median(seen)),
      rssPeakMegabytes: megabytes(Math.max(...seen)),
      errors: report.errors,
    };
  } finally {
    clearInterval(timer);
  }
}

function partsOf(name: string, idle: number, rounds: readonly Round[]): Part[] {
  const figures = (figure: string): number[] =>
    rounds.flatMap(({ samples }) => samples.filter(({ side }) => side === name).map((sample) => Number(sample[figure])));
  const under = figures("rssMegabytes");
  const change = ((under.at(-1) ?? Number.NaN) / (under[0] ?? Number.NaN) - 1) * 100;
  return [
    atMost(`${name}, idle`, idle, 150, "MB"),
    {
      ...atMost(`${name}, last round against the first`, Math.abs(change), 10, "%"),
      bar: "±10",
      value: Math.round(change * 10) / 10,
    },
    reported(`${name}, under load in the last round`, under.at(-1) ?? Number.NaN, "MB"),
    reported(`${name}, most ever seen`, Math.max(...figures("rssPeakMegabytes")), "MB"),
  ];
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}
