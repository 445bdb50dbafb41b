/** Revocations while things go wrong. One trial: a key revoked with a receipt, and everything said of it afterwards. */
import { setTimeout as delay } from "node:timers/promises";
import { waitFor } from "@nexus/testing";
import { causeTrouble, type Fault } from "./faults.ts";
import { type Fleet, type IssuedKey, knownEverywhere } from "./fleet.ts";
import type { Replica } from "./replica.ts";
import { startTraffic } from "./traffic.ts";

export interface Outcome {
  trials: number;
  confirmed: number;
  /** Checks that began after a receipt. */
  checksAfter: number;
  /** Those of them that were accepted: there must be none. */
  accepted: { replica: string; key: string; msAfterReceipt: number; faults: Fault[] }[];
  /** From the commit to the receipt, milliseconds, in order of size. */
  elapsedMs: number[];
}

/** Rounds of `perRound` keys each, until there were `trials` of them. */
export async function runTrials(fleet: Fleet, options: { trials: number; perRound: number }): Promise<Outcome> {
  const outcome: Outcome = { trials: 0, confirmed: 0, checksAfter: 0, accepted: [], elapsedMs: [] };
  while (outcome.trials < options.trials) {
    await runRound(fleet, Math.min(options.perRound, options.trials - outcome.trials), outcome);
    await fleet.heal();
  }
  outcome.elapsedMs.sort((a, b) => a - b);
  return outcome;
}

async function runRound(fleet: Fleet, count: number, outcome: Outcome): Promise<void> {
  const keys = await knownEverywhere(fleet, count);
  const traffic = startTraffic(
    fleet.replicas,
    keys.map(({ secret }) => secret),
    { thinkMs: 3 },
  );
  const confirmedAt = new Map<string, number>();
  const faults: Fault[] = [];
  const at = fleet.keys[Math.floor(Math.random() * fleet.keys.length)]!;
  const late: Promise<void>[] = [];
  const revoke = async (key: IssuedKey): Promise<void> => {
    await delay(Math.random() * 1200);
    // A pv-keys that is too busy says 503, and is asked again.
    const receipt = await waitFor(() => fleet.revoke(key.id, { at }), { timeoutMs: 20_000, intervalMs: 200 });
    if (!receipt.confirmed) return;
    const now = performance.now();
    confirmedAt.set(key.secret, now);
    outcome.elapsedMs.push(receipt.elapsed_ms);
    for (const replica of fleet.replicas) late.push(checkAfter(replica, key, now));
  };
  const checkAfter = async (replica: Replica, key: IssuedKey, receiptAt: number): Promise<void> => {
    outcome.checksAfter++;
    const msAfterReceipt = performance.now() - receiptAt;
    if ((await replica.check(key.secret)) === "accepted") {
      outcome.accepted.push({ replica: replica.name, key: key.id, msAfterReceipt, faults });
    }
  };
  try {
    await Promise.all([causeTrouble(fleet, at, faults), ...keys.map(revoke)]);
    await Promise.all(late);
  } finally {
    await traffic.stop();
  }
  outcome.trials += count;
  outcome.confirmed += confirmedAt.size;
  outcome.checksAfter += traffic.checks.filter((check) => check.startedAt > (confirmedAt.get(check.secret) ?? Infinity)).length;
  for (const { replica, secret, startedAt } of traffic.acceptedAfter(confirmedAt)) {
    const key = keys.find((one) => one.secret === secret)!.id;
    outcome.accepted.push({ replica, key, msAfterReceipt: startedAt - confirmedAt.get(secret)!, faults });
  }
}
