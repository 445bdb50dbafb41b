import { setTimeout as delay } from "node:timers/promises";
import { startTestRedis } from "@nexus/testing";
import { atMost, type Benchmark, median, type Outcome, type Round, type RunOptions } from "../benchmark.ts";
import { conditions } from "../conditions.ts";
import { type IssuedKey, type KeysClient, openKeysClient } from "../platform/keys-client.ts";
import { type Platform, startPlatform } from "../platform/start-platform.ts";
import { cpuMicrosOf } from "../process-cpu.ts";

const replicas = 3;
const trials = 10_000;
const perRequest = 100;

/**
 * Each trial revokes a key that every replica has in memory, and asks each replica for it every millisecond until it refuses. When
 * the receipt comes, each is asked once more: that check starts after the receipt, and must be refused.
 */
export const keysRevoke: Benchmark = {
  id: "keys-revoke",
  what: `revoke with a receipt → refused by ${replicas} replicas, ${trials} trials over all rounds`,
  against: "—",
  bar: "p50 < 5 ms, p99 < 50 ms, 0 accepted after a receipt",
  run: async (options) => {
    const platform = await startPlatform();
    try {
      const redis = await startTestRedis();
      platform.onStop(() => redis.stop());
      return await run(platform, options, redis);
    } finally {
      await platform.stop();
    }
  },
};

async function run(platform: Platform, options: RunOptions, redis: Awaited<ReturnType<typeof startTestRedis>>): Promise<Outcome> {
  const measuredOn = conditions(options);
  const clients: KeysClient[] = [];
  const pids: number[] = [];
  for (let n = 0; n < replicas; n++) {
    const replica = await platform.startKeysReplica({ REDIS_URL: redis.target.url });
    const client = openKeysClient(platform, replica);
    platform.onStop(() => client.close());
    clients.push(client);
    pids.push(replica.pid);
  }
  // It has no Redis and would be waited for.
  await platform.keys.stop();
  const rounds: Round[] = [];
  let [accepted, unconfirmed] = [0, 0];
  for (let round = 1; round <= options.rounds; round++) {
    const keys = await knownEverywhere(clients, Math.ceil(trials / options.rounds));
    const before = cpuOf(pids);
    const said = await revokeAll(clients, keys);
    said.sample.cpuMicrosPerRequest = Math.round((cpuOf(pids) - before) / keys.length);
    accepted += said.accepted;
    unconfirmed += said.unconfirmed;
    rounds.push({ round, samples: [said.sample] });
    const { p50Ms, p99Ms } = said.sample;
    options.log(
      `round ${round} of ${options.rounds}: p50 ${p50Ms} ms, p99 ${p99Ms} ms, ${said.accepted} accepted after a receipt`,
    );
  }
  const figure = (name: string): number => median(rounds.map(({ samples }) => Number(samples[0]?.[name])));
  return {
    parts: [
      atMost("from the request until all refuse, p50", figure("p50Ms"), 5, "ms"),
      atMost("from the request until all refuse, p99", figure("p99Ms"), 50, "ms"),
      atMost("accepted after a receipt", accepted, 0, "checks"),
      atMost("receipts that were not confirmed", unconfirmed, 0, "receipts"),
    ],
    rounds,
    conditions: { ...measuredOn, replicas, redis: redis.kind },
  };
}

/** Keys that each replica has in its memory. */
async function knownEverywhere(clients: readonly KeysClient[], count: number): Promise<IssuedKey[]> {
  const keys: IssuedKey[] = [];
  while (keys.length < count) keys.push(...(await clientAt(clients, 0).make(Math.min(perRequest, count - keys.length))));
  for (let at = 0; at < keys.length; at += perRequest) {
    const some = keys.slice(at, at + perRequest);
    const good = await Promise.all(clients.flatMap((client) => some.map(({ secret }) => client.verify(secret))));
    if (good.includes(false)) throw new Error("a key that was just made is not valid");
  }
  return keys;
}

async function revokeAll(clients: readonly KeysClient[], keys: readonly IssuedKey[]) {
  const refused: number[] = [];
  const answered: number[] = [];
  const confirmed: number[] = [];
  let [accepted, unconfirmed, checks] = [0, 0, 0];
  const startedAt = performance.now();
  for (const [at, { id, secret }] of keys.entries()) {
    const sentAt = performance.now();
    const revoking = clientAt(clients, at).revoke(id);
    const refusing = Promise.all(clients.map((client) => untilRefused(client, secret)));
    const receipt = await revoking;
    answered.push(performance.now() - sentAt);
    confirmed.push(receipt.elapsed_ms);
    if (!receipt.confirmed) unconfirmed++;
    const good = await Promise.all(clients.map((client) => client.verify(secret)));
    accepted += good.filter(Boolean).length;
    const refusals = await refusing;
    refused.push(Math.max(...refusals.map((refusal) => refusal.at)) - sentAt);
    checks += refusals.reduce((sum, refusal) => sum + refusal.checks, good.length);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const sample = {
    side: "pv-keys",
    ratePerSecond: Math.round(keys.length / seconds),
    cpuMicrosPerRequest: 0,
    p50Ms: quantile(refused, 0.5),
    p99Ms: quantile(refused, 0.99),
    answerP50Ms: quantile(answered, 0.5),
    answerP99Ms: quantile(answered, 0.99),
    commitToReceiptP50Ms: quantile(confirmed, 0.5),
    commitToReceiptP99Ms: quantile(confirmed, 0.99),
    verificationsPerSecond: Math.round(checks / seconds),
    errors: accepted,
  };
  return { sample, accepted, unconfirmed };
}

async function untilRefused(client: KeysClient, secret: string): Promise<{ at: number; checks: number }> {
  let checks = 1;
  while (await client.verify(secret)) {
    // Without a pause the questions would take the processor from what they measure.
    await delay(1);
    checks++;
  }
  return { at: performance.now(), checks };
}

/** Of all replicas together, the checks of each trial included. */
function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMicrosOf(pid), 0);
}

function clientAt(clients: readonly KeysClient[], at: number): KeysClient {
  const client = clients[at % clients.length];
  if (!client) throw new Error("assertion failed: there are replicas");
  return client;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return Math.round(value * 1000) / 1000;
}
