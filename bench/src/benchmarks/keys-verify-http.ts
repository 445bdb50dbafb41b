import { atLeast, type Benchmark, median, type Outcome, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { forkServer } from "../platform/start-child.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { pairs, runSides, type Side } from "../run-sides.ts";

const bar = 0.85;
const concurrency = 32;
const bareServer = new URL("../against/bare-answer.ts", import.meta.url).pathname;

export const keysVerifyHttp: Benchmark = {
  id: "keys-verify-http",
  what: "POST /v1/keys/verify on the private listener",
  against: "bare node:http answering the same bytes",
  bar: "≥ 0.85× its rate",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      return await run(platform, options);
    } finally {
      await platform.stop();
    }
  },
};

async function run(platform: Platform, options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const key = await platform.makeKey();
  const url = `${platform.keys.internalUrl}/v1/keys/verify`;
  const headers = { authorization: `Bearer ${platform.serviceToken}`, "content-type": "application/json" };
  const body = JSON.stringify({ key });
  const answer = await (await fetch(url, { method: "POST", headers, body })).text();
  if (!answer.includes('"valid":true')) throw new Error(`the key is not valid: ${answer}`);
  const bare = await forkServer(bareServer, [answer]);
  platform.onStop(() => bare.stop());
  const sides: [Side, Side] = [
    { name: "pv-keys", pid: platform.keys.pid, job: { url, headers, body } },
    { name: "bare node:http", pid: bare.pid, job: { url: `${bare.url}/v1/keys/verify`, headers, body } },
  ];
  const rounds = await runSides(sides, [{ connections: concurrency }], options);
  const ratios = pairs(rounds, sides, "ratePerSecond").map(([ours, theirs]) => ours / theirs);
  return {
    parts: [atLeast("rate against bare node:http", median(ratios), bar, "×")],
    rounds,
    conditions: { ...before, concurrency, log_level: "warn", answer_bytes: Buffer.byteLength(answer) },
  };
}
