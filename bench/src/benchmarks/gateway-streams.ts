import { once } from "node:events";
import {
  atLeast,
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
import type { StreamJob, StreamReport } from "../load/stream-job.ts";
import { type Child, forkProgram, forkServer } from "../platform/start-child.ts";
import { startGatewayBefore } from "../platform/start-gateway.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";

export const gatewayStreams: Benchmark = {
  id: "gateway-streams",
  what: "1,000 streams at once, 50 frames/s each, through one gateway process: key, budget and metering on",
  against: "bare node:http + undici pass-through to the same upstream, and that upstream itself",
  bar: "all frames at their pace; none lost, reordered or merged; on one core",
  counts: "frame",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

const upstreamProgram = new URL("../against/frame-upstream.ts", import.meta.url).pathname;
const loadProgram = new URL("../load/run-streams.ts", import.meta.url).pathname;
const [streams, frameMs, openMs] = [1000, 20, 2000];

type Target = { name: string; pid: number; url: string; headers: Record<string, string> };

/** The upstream without anything between shows what upstream, load and machine do to the frames by themselves. */
async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const upstream = await forkServer(upstreamProgram, [String(frameMs)]);
  platform.onStop(() => upstream.stop());
  const { gateway, passThrough, headers } = await startGatewayBefore(platform, upstream.url);
  const targets: Target[] = [
    { name: ours, ...gateway, headers },
    { name: "bare pass-through", pid: passThrough.pid, url: passThrough.url, headers },
    { name: "nothing between", pid: upstream.pid, url: upstream.url, headers },
  ];
  const load = forkProgram(loadProgram);
  platform.onStop(() => load.stop());
  const count = options.size ?? streams;
  const rounds: Round[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const samples: Sample[] = [];
    const order = round % 2 === 1 ? targets : targets.toReversed();
    for (const target of order) samples.push(await sampleOf(load, target, count, options.seconds));
    rounds.push({ round, samples });
    options.log(`round ${round} of ${options.rounds}`);
  }
  return outcomeOf(rounds, count, { ...before, streams: count, ms_between_frames: frameMs, log_level: "warn" });
}

const ours = "puaboai-sdk";

async function sampleOf(load: Child, target: Target, count: number, seconds: number): Promise<Sample> {
  // The longest any stream must last: opened first, still open when the counting ends.
  const frames = Math.ceil((openMs + seconds * 1000 + 1000) / frameMs);
  const messages = [{ role: "user", content: "Tell me at length what an AI gateway is for." }];
  const body = JSON.stringify({
    model: "bench",
    max_tokens: frames,
    stream: true,
    stream_options: { include_usage: true },
    messages,
  });
  const job: StreamJob = {
    url: `${target.url}/v1/chat/completions`,
    headers: target.headers,
    body,
    streams: count,
    openMs,
    windowMs: seconds * 1000,
    pid: target.pid,
  };
  load.process.send(job);
  const [report] = (await once(load.process, "message")) as [StreamReport];
  const due = (count * report.windowMs) / frameMs;
  return {
    side: target.name,
    ratePerSecond: Math.round((report.frames / report.windowMs) * 1000),
    cpuMicrosPerRequest: thousandths(report.cpuMicros / report.frames),
    p50Ms: thousandths(report.delayP50Ms),
    p99Ms: thousandths(report.delayP99Ms),
    maxMs: thousandths(report.delayMaxMs),
    atPaceShare: thousandths(report.frames / due),
    mergedPerThousand: thousandths((report.merged / report.frames) * 1000),
    cores: thousandths(report.cpuMicros / 1000 / report.windowMs),
    rssMegabytes: Math.round(report.rssBytes / 1e6),
    errors: report.misplaced + report.broken,
  };
}

function outcomeOf(rounds: Round[], count: number, conditionsThen: Outcome["conditions"]): Outcome {
  const figures = (side: string, figure: string): number[] =>
    rounds.flatMap(({ samples }) => samples.filter((sample) => sample.side === side).map((sample) => Number(sample[figure])));
  const added = (figure: string): number => {
    const theirs = figures("bare pass-through", figure);
    return median(figures(ours, figure).map((value, index) => value - (theirs[index] ?? Number.NaN)));
  };
  const middle = (figure: string): number => median(figures(ours, figure));
  const wrong = figures(ours, "errors").reduce((sum, value) => sum + value, 0);
  return {
    parts: [
      atLeast("frames that came at their pace", middle("atPaceShare"), 0.99, "of those due"),
      atMost("frames lost, doubled or out of order, and broken streams", wrong, 0, ""),
      atMost("frames merged, more than by the pass-through", added("mergedPerThousand"), 1, "per 1,000"),
      atMost("delay of a frame more than through the pass-through, p50", added("p50Ms"), 1, "ms"),
      atMost("the same, p99", added("p99Ms"), 2, "ms"),
      atLeast(
        "such streams that one core carries, by the CPU a frame takes",
        streamsPerCore(middle("cpuMicrosPerRequest")),
        1000,
        "",
      ),
      reported("cores that the gateway used", middle("cores"), ""),
      reported("delay of a frame from the upstream's write to the client's read, p99", middle("p99Ms"), "ms"),
      reported("frames merged by the harness alone", median(figures("nothing between", "mergedPerThousand")), "per 1,000"),
      reported(`RSS with ${count} streams`, middle("rssMegabytes"), "MB"),
    ],
    rounds,
    conditions: conditionsThen,
  };
}

function streamsPerCore(microsPerFrame: number): number {
  return 1e6 / (microsPerFrame * (1000 / frameMs));
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000;
}
