import { atMost, type Benchmark, median, type Outcome, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { startGateway } from "../platform/start-gateway.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { pairs, runSides, type Side } from "../run-sides.ts";

export const gatewayStream: Benchmark = {
  id: "gateway-stream",
  what: "streams of 50 frames through the gateway: key, budget and metering on",
  against: "bare node:http + undici pass-through to the same upstream",
  bar: "added time to first token ≤ 1 ms; no frame merged",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

const frameMs = 5;
const concurrency = 8;

async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const { gateway, passThrough, headers } = await startGateway(platform, { frameMs });
  const path = "/v1/chat/completions";
  const messages = [{ role: "user", content: "Tell me in fifty words what an AI gateway is for." }];
  const body = JSON.stringify({
    model: "bench",
    max_tokens: 100,
    stream: true,
    stream_options: { include_usage: true },
    messages,
  });
  const sides: [Side, Side] = [
    { name: "puaboai-sdk", pid: gateway.pid, job: { url: gateway.url + path, headers, body } },
    { name: "bare pass-through", pid: passThrough.pid, job: { url: passThrough.url + path, headers, body } },
  ];
  const rounds = await runSides(sides, [{ connections: concurrency }], options);
  const firstByte = pairs(rounds, sides, "firstByteP50Ms").map(([ours, theirs]) => ours - theirs);
  const merged = pairs(rounds, sides, "readsPerAnswer").map(([ours, theirs]) => theirs - ours);
  return {
    parts: [
      atMost("added time to first token", median(firstByte), 1, "ms"),
      atMost("reads fewer than the pass-through needs for the same stream", median(merged), 0, ""),
    ],
    rounds,
    conditions: { ...before, concurrency, log_level: "warn", frames: 50, ms_between_frames: frameMs },
  };
}
