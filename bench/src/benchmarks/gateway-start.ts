import { setTimeout as delay } from "node:timers/promises";
import {
  atMost,
  type Benchmark,
  median,
  type Outcome,
  reported,
  type Round,
  type RunOptions,
  type Sample,
} from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { type Child, forkServer, launchService } from "../platform/start-child.ts";
import { callHeaders, planGateway } from "../platform/start-gateway.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { cpuMicrosOf, rssBytesOf } from "../process-cpu.ts";

export const gatewayStart: Benchmark = {
  id: "gateway-start",
  what: "the gateway's process from its start to the first model answer",
  against: "—",
  bar: "≤ 2 s",
  counts: "start",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

const upstreamProgram = new URL("../against/upstream.ts", import.meta.url).pathname;
const patienceMs = 30_000;

/** PostgreSQL, pv-keys and the upstream run already, and the program's files are in the page cache after the first round. */
async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const upstream = await forkServer(upstreamProgram, ["0"]);
  platform.onStop(() => upstream.stop());
  const headers = await callHeaders(platform);
  const rounds: Round[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const plan = await planGateway(platform, upstream.url);
    const startedAt = performance.now();
    const child = launchService("puaboai-sdk", plan.port, plan.environment);
    try {
      rounds.push({ round, samples: [await sampleOf(child, plan.url, headers, startedAt)] });
    } finally {
      await child.stop();
    }
    options.log(`round ${round} of ${options.rounds}`);
  }
  const middle = (figure: string): number => median(rounds.flatMap(({ samples }) => samples.map((one) => Number(one[figure]))));
  return {
    parts: [
      atMost("start to the first answer 200 of a model", middle("firstAnswerMs"), 2000, "ms"),
      reported(
        "the slowest of the rounds",
        Math.max(...rounds.map(({ samples }) => Number(samples[0]?.["firstAnswerMs"]))),
        "ms",
      ),
      reported("CPU until then", middle("cpuMicrosPerRequest") / 1000, "ms"),
      reported("RSS then", middle("rssMegabytes"), "MB"),
    ],
    rounds,
    conditions: { ...before, log_level: "warn", asked_every_ms: 5 },
  };
}

async function sampleOf(child: Child, url: string, headers: Record<string, string>, startedAt: number): Promise<Sample> {
  const body = JSON.stringify({ model: "bench", max_tokens: 10, messages: [{ role: "user", content: "hello" }] });
  for (;;) {
    const status = await ask(url, headers, body);
    const elapsedMs = performance.now() - startedAt;
    if (status === 200) {
      return {
        side: "puaboai-sdk",
        ratePerSecond: Math.round(1e6 / elapsedMs) / 1000,
        cpuMicrosPerRequest: cpuMicrosOf(child.pid),
        firstAnswerMs: Math.round(elapsedMs),
        rssMegabytes: Math.round(rssBytesOf(child.pid) / 1e6),
      };
    }
    if (child.process.exitCode !== null) throw new Error(`the gateway ended with code ${child.process.exitCode}`);
    if (elapsedMs > patienceMs) throw new Error(`no model answered in ${patienceMs} ms; last status: ${status}`);
    await delay(5);
  }
}

/** @returns 0 while nobody listens */
async function ask(url: string, headers: Record<string, string>, body: string): Promise<number> {
  try {
    const answer = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return 0;
  }
}
