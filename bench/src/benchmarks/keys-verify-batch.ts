import { atMost, type Benchmark, median, type Outcome, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { openKeysClient } from "../platform/keys-client.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { runSides, type Side } from "../run-sides.ts";

const barMicros = 2;
const keysPerCall = 50;
const concurrency = 32;

/** Different keys, each valid and known to the process; what HTTP itself costs a call is shared by its keys. */
export const keysVerifyBatch: Benchmark = {
  id: "keys-verify-batch",
  what: `POST /v1/keys/verify/batch, ${keysPerCall} keys a call, on the private listener`,
  against: "—",
  bar: `≤ ${barMicros} µs CPU a key`,
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
  const client = openKeysClient(platform, platform.keys);
  platform.onStop(() => client.close());
  const keys = await client.make(keysPerCall);
  const url = `${platform.keys.internalUrl}/v1/keys/verify/batch`;
  const headers = { authorization: `Bearer ${platform.serviceToken}`, "content-type": "application/json" };
  const body = JSON.stringify({ requests: keys.map(({ secret }) => ({ key: secret })) });
  const answer = await (await fetch(url, { method: "POST", headers, body })).text();
  if (answer.split('"valid":true').length !== keysPerCall + 1) throw new Error(`not every key is valid: ${answer}`);
  const side: Side = { name: "pv-keys", pid: platform.keys.pid, job: { url, headers, body } };
  const rounds = await runSides([side], [{ connections: concurrency }], options);
  const samples = rounds.flatMap((round) => round.samples);
  const micros = samples.map(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest / keysPerCall);
  for (const sample of samples) sample["keysPerSecond"] = sample.ratePerSecond * keysPerCall;
  return {
    parts: [atMost("CPU a key", median(micros), barMicros, "µs")],
    rounds,
    conditions: {
      ...before,
      concurrency,
      keys_per_call: keysPerCall,
      log_level: "warn",
      request_bytes: Buffer.byteLength(body),
      answer_bytes: Buffer.byteLength(answer),
    },
  };
}
