import { atLeast, atMost, type Benchmark, median, type Outcome, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { startGateway } from "../platform/start-gateway.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { type Offered, pairs, runSides, type Side } from "../run-sides.ts";

export const gatewayChat: Benchmark = {
  id: "gateway-chat",
  what: "non-stream chat through the gateway: key, budget and metering on",
  against: "bare node:http + undici pass-through to the same upstream",
  bar: "≥ 0.7× its rate; added p50 ≤ 0.4 ms at c=1, added p99 ≤ 2 ms at c=32; ≥ 4,000 requests/s",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

const alone: Offered = { connections: 1 };
const many: Offered = { connections: 32 };
/** What a core must carry. As fast as each side answers, a p99 is that of a full queue; at a rate that both can keep it is that of the calls. */
const paced: Offered = { connections: 32, dueEachSecond: 4000 };

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
  const rounds = await runSides(sides, [many, alone, paced], options);
  const added = (figure: string, offered: Offered): number =>
    median(pairs(rounds, sides, figure, offered).map(([ours, theirs]) => ours - theirs));
  const rates = pairs(rounds, sides, "ratePerSecond", many);
  const ratios = rates.map(([ours, theirs]) => ours / theirs);
  return {
    parts: [
      atLeast("rate against the pass-through at c=32", median(ratios), 0.7, "×"),
      atMost("added p50 at c=1", added("p50Ms", alone), 0.4, "ms"),
      atMost("added p99 at c=32, as fast as each answers", added("p99Ms", many), 2, "ms"),
      atMost("added p99 at c=32, 4,000 requests/s", added("p99Ms", paced), 2, "ms"),
      atLeast("rate of one process at c=32", median(rates.map(([ours]) => ours)), 4000, "requests/s"),
    ],
    rounds,
    conditions: {
      ...before,
      concurrency: "32 and 1; 32 at 4,000 requests/s",
      log_level: "warn",
      request_bytes: Buffer.byteLength(body),
    },
  };
}
