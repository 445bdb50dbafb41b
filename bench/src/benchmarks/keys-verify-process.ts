import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { ValidKey } from "@nexus/contracts/verify-key";
import { assert, generateApiKey, systemClock } from "@nexus/core";
import { type KeyChecker, openKeyChecker } from "@nexus/key-check";
import { atLeast, type Benchmark, median, type Outcome, type Round, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";

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

/** Answers stand for an hour here: what is measured is the decision, not the question asked every second. */
async function openChecker(): Promise<{ checker: KeyChecker; keys: string[]; stop: () => Promise<void> }> {
  const answer = JSON.stringify(validAnswer());
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end(answer));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const checker = openKeyChecker({
    verifyUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    serviceToken: "bench",
    clock: systemClock,
    cacheMs: 3_600_000,
  });
  const keys = Array.from({ length: keyCount }, () => generateApiKey("sk", "live").key);
  for (const key of keys) await checker.check(key);
  const stop = async (): Promise<void> => {
    await checker.close();
    await new Promise((resolve) => server.close(resolve));
  };
  return { checker, keys, stop };
}

function validAnswer(): ValidKey {
  return {
    valid: true,
    key_id: "key_00000000-0000-7000-8000-000000000000",
    organization_id: "org_00000000-0000-7000-8000-000000000000",
    owner: { kind: "user", id: "usr_00000000-0000-7000-8000-000000000000" },
    state: "active",
    expires_at: new Date(Date.now() + 90 * 24 * 3600 * 1000).toISOString(),
    scopes: ["ai:*", "usage:read"],
    models: null,
    ip_allow: null,
    limits: [],
    budget_ids: [],
    rev: 1,
  };
}
