import { atLeast, type Benchmark, median, type Outcome, type Part, reported, type Round, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { startGateway } from "../platform/start-gateway.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { portkeyVersion, startPortkey } from "../platform/start-portkey.ts";
import { pairs, runSides, type Side } from "../run-sides.ts";

/** Ours checks a key, holds a budget and meters; theirs, as it comes, forwards. */
export const gatewayPortkey: Benchmark = {
  id: "gateway-portkey",
  what: "chat through the gateway, whole and streamed: key, budget and metering on",
  against: `@portkey-ai/gateway ${portkeyVersion} to the same upstream, as it comes`,
  bar: "≥ 10× its rate, whole and streamed",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

const concurrency = 32;
const path = "/v1/chat/completions";
const question = {
  model: "bench",
  max_tokens: 100,
  messages: [{ role: "user", content: "Tell me in fifty words what an AI gateway is for." }],
};

async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const { gateway, passThrough, upstream, headers } = await startGateway(platform, { frameMs: 0 });
  const portkey = await startPortkey(upstream.url);
  platform.onStop(() => portkey.stop());
  const parts: Part[] = [];
  const rounds: Round[] = [];
  for (const stream of [false, true]) {
    const kind = stream ? "streamed" : "whole";
    const body = JSON.stringify(stream ? { ...question, stream, stream_options: { include_usage: true } } : question);
    const ours: Side = { name: `puaboai-sdk, ${kind}`, pid: gateway.pid, job: { url: gateway.url + path, headers, body } };
    const theirs: Side = {
      name: `Portkey, ${kind}`,
      pid: portkey.pid,
      job: { url: portkey.url + path, headers: portkey.headers, body },
    };
    const bare: Side = { name: `bare, ${kind}`, pid: passThrough.pid, job: { url: passThrough.url + path, headers, body } };
    const measured = await runSides([ours, theirs, bare], [{ connections: concurrency }], options);
    const against = (figure: string): number[] => pairs(measured, [ours, theirs], figure).map(([one, other]) => one / other);
    parts.push(
      atLeast(`rate against Portkey's, ${kind}`, median(against("ratePerSecond")), 10, "×"),
      reported(`Portkey's CPU a request against ours, ${kind}`, 1 / median(against("cpuMicrosPerRequest")), "×"),
    );
    rounds.push(...measured);
  }
  const errors = rounds.flatMap(({ samples }) => samples).reduce((sum, sample) => sum + (sample.errors ?? 0), 0);
  if (errors > 0) options.log(`${errors} answers were not 200: the rates do not compare`);
  const [first, ...others] = parts as [Part, ...Part[]];
  return {
    parts: [first, ...others],
    rounds,
    conditions: { ...before, concurrency, log_level: "warn", frames: 50, portkey: portkeyVersion },
  };
}
