import { atLeast, atMost, type Benchmark, median, type Outcome, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { startGateway } from "../platform/start-gateway.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { pairs, runSides, type Side } from "../run-sides.ts";

export const gatewayChat: Benchmark = {
  id: "gateway-chat",
  what: "non-stream chat through the gateway: key, budget and metering on",
  against: "bare node:http + undici pass-through to the same upstream",
  bar: "≥ 0.7× its rate; added p50 ≤ 0.4 ms at c=1, added p99 ≤ 2 ms at c=32",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

const [alone, many] = [1, 32];

async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const { gateway, passThrough, headers } = await startGateway(platform, { frameMs: 0 });
  const path = "/v1/chat/completions";
  const messages = [{ role: "user", content: "Tell me in fifty words what an AI gateway is for." }];
  const body = JSON.stringify({ model: "bench", max_tokens: 100, messages });
  const sides: [Side, Side] = [
    { name: "puaboai-sdk", pid: gateway.pid, job: { url: gateway.url + path, headers, body } },
    { name: "bare pass-through", pid: passThrough.pid, job: { url: passThrough.url + path, headers, body } },
  ];
  const rounds = await runSides(sides, [many, alone], options);
  const added = (figure: string, concurrency: number): number =>
    median(pairs(rounds, sides, figure, concurrency).map(([ours, theirs]) => ours - theirs));
  const ratios = pairs(rounds, sides, "ratePerSecond", many).map(([ours, theirs]) => ours / theirs);
  return {
    parts: [
      atLeast("rate against the pass-through at c=32", median(ratios), 0.7, "×"),
      atMost("added p50 at c=1", added("p50Ms", alone), 0.4, "ms"),
      atMost("added p99 at c=32", added("p99Ms", many), 2, "ms"),
    ],
    rounds,
    conditions: { ...before, concurrency: `${many} and ${alone}`, log_level: "warn", request_bytes: Buffer.byteLength(body) },
  };
}
