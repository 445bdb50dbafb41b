import { assert, generateApiKey, systemClock } from "@nexus/core";
import { openDatabase } from "@nexus/db";
import { type KeyChecker, openVerifier } from "@nexus/key-check";
import { atLeast, type Benchmark, median, type Outcome, type Round, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { someKey } from "../platform/some-key.ts";
import { startPlatform } from "../platform/start-platform.ts";

const bar = 1_500_000;
const keyCount = 1000;

/** One core decides about keys that it has heard of: SHA-256, map, age, expiry. */
export const keysVerifyProcess: Benchmark = {
  id: "keys-verify-process",
  what: "in-process key verification",
  against: "—",
  bar: "≥ 1,500,000/s per core",
  run,
};

async function run(options: RunOptions): Promise<Outcome> {
  const before = conditions(options);
  const { checker, keys, stop } = await openChecker();
  try {
    measure(checker, keys, 0.5);
    const rounds: Round[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      rounds.push({ round, samples: [measure(checker, keys, options.seconds)] });
      options.log(`round ${round} of ${options.rounds}`);
    }
    const perCore = rounds.flatMap(({ samples }) => samples.map((sample) => 1e6 / sample.cpuMicrosPerRequest));
    return {
      parts: [atLeast("verifications per second of CPU", median(perCore), bar, "1/s per core")],
      rounds,
      conditions: { ...before, concurrency: 1, keys: keyCount, answers: "every key valid, with an expiry, known to the process" },
    };
  } finally {
    await stop();
  }
}

function measure(checker: KeyChecker, keys: readonly string[], seconds: number) {
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  let checks = 0;
  let valid = 0;
  while (performance.now() - start < seconds * 1000) {
    for (const key of keys) if (checker.known(key)?.valid) valid++;
    checks += keys.length;
  }
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpuBefore);
  assert(valid === checks, "every key is known and valid");
  return {
    side: "key-check",
    ratePerSecond: Math.round((checks / elapsedMs) * 1000),
    cpuMicrosPerRequest: Math.round(((user + system) / checks) * 10_000) / 10_000,
    errors: checks - valid,
  };
}

/** Every key is known before it is measured; the change feed is followed as in a service. */
async function openChecker(): Promise<{ checker: KeyChecker; keys: string[]; stop: () => Promise<void> }> {
  const platform = await startPlatform();
  try {
    const database = openDatabase(platform.connection("nexus_ai"), { applicationName: "bench" });
    platform.onStop(() => database.close());
    const verifier = openVerifier({
      connection: platform.connection("nexus_ai"),
      db: database.db,
      redis: undefined,
      source: {
        find: (_digest, minRev) =>
          Promise.resolve({ record: someKey(), generation: verifier.feed.position().generation ?? "", asOf: minRev }),
        close: () => Promise.resolve(),
      },
      clock: systemClock,
      logger: { info: () => {}, warn: () => {} },
      service: "bench",
      port: 0,
      blindSeconds: 60,
    });
    platform.onStop(() => verifier.close());
    await verifier.start();
    const keys = Array.from({ length: keyCount }, () => generateApiKey("sk", "live").key);
    for (const key of keys) await verifier.checker.check(key);
    return { checker: verifier.checker, keys, stop: () => platform.stop() };
  } catch (error) {
    await platform.stop();
    throw error;
  }
}
