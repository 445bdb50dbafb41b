/** The kill switch over six real processes: from the receipt of a freeze on, no check that starts anywhere accepts what it names. */
import type { FreezeAnswer } from "@nexus/contracts/freezes";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { nodeOf } from "./confirmation.ts";
import { type Fleet, knownEverywhere, startFleet } from "./fleet.ts";
import type { Verdict } from "./replica.ts";
import { startTraffic, type Traffic } from "./traffic.ts";

let fleet: Fleet;
let traffic: Traffic | undefined;
const frozen: string[] = [];

beforeAll(async () => {
  fleet = await startFleet();
});
afterEach(async () => {
  await traffic?.stop();
  traffic = undefined;
  for (const wire of fleet.replicas.flatMap(({ wires }) => Object.values(wires))) wire.state = "open";
  for (const id of frozen.splice(0)) await thaw(id);
  await fleet.heal();
});
afterAll(async () => {
  await fleet?.stop();
});

it("everything frozen and thawed, with calls at every replica: each receipt holds, and its time to effect is told", async () => {
  const keys = await knownEverywhere(fleet, 3);
  const secrets = keys.map(({ secret }) => secret);
  traffic = startTraffic(fleet.replicas, secrets, { thinkMs: 3 });
  for (let round = 0; round < 3; round++) {
    const answer = await freeze({ kind: "everything" });
    const frozenAt = performance.now();
    expect(answer.receipt.confirmed).toBe(true);
    expect(answer.effective_after_ms).toBeLessThan(2000);
    for (const secret of secrets) expect(await everyVerdict(secret)).toEqual(all("refused"));
    const untilThaw = performance.now();
    expect((await thaw(answer.freeze.id)).receipt.confirmed).toBe(true);
    const thawedAt = performance.now();
    for (const secret of secrets) expect(await everyVerdict(secret)).toEqual(all("accepted"));
    const during = traffic.checks.filter(({ startedAt, endedAt }) => startedAt > frozenAt && endedAt < untilThaw);
    expect(during.length).toBeGreaterThan(0);
    expect(during.filter(({ verdict }) => verdict !== "refused")).toEqual([]);
    expect(traffic.checks.filter(({ startedAt, verdict }) => startedAt > thawedAt && verdict !== "accepted")).toEqual([]);
  }
});

it("a freeze passes by nobody who was paused, or who hears neither of PostgreSQL nor of Redis", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  const [paused, deaf] = [fleet.gateways[0]!, fleet.gateways[1]!];
  paused.pause();
  const waiting = paused.check(key!.secret, { timeoutMs: 20_000 });
  deaf.wires.postgres.state = "cut";
  deaf.wires.redis.state = "cut";
  const { receipt } = await freeze({ kind: "organization" });
  expect(receipt.confirmed).toBe(true);
  for (const replica of [paused, deaf]) expect(nodeOf(receipt, replica)).toBe("run_out");
  // The deaf one hears of it from pv-keys, with the answer about the key.
  expect(await deaf.check(key!.secret)).toBe("refused");
  paused.resume();
  expect(await waiting).toBe("refused");
  expect(await everyVerdict(key!.secret)).toEqual(all("refused"));
});

it("with Redis out of reach a freeze is applied by every replica before its lease runs out", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  for (const { wires } of fleet.replicas) wires.redis.state = "hung";
  const { receipt } = await freeze({ kind: "key", target: key!.id });
  expect(fleet.replicas.map((replica) => nodeOf(receipt, replica))).toEqual(Array(6).fill("applied"));
  expect(await everyVerdict(key!.secret)).toEqual(all("refused"));
  await fleet.redis.flush();
  expect(await everyVerdict(key!.secret)).toEqual(all("refused"));
});

it("a replica that starts while something is frozen refuses it from its first answer on", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  const starting = fleet.gateways[2]!;
  await starting.kill();
  expect((await freeze({ kind: "environment", target: "live" })).receipt.confirmed).toBe(true);
  traffic = startTraffic([starting], [key!.secret]);
  await starting.start();
  expect(await starting.check(key!.secret)).toBe("refused");
  await traffic.stop();
  expect(traffic.checks.filter(({ verdict }) => verdict === "accepted")).toEqual([]);
});

async function freeze(body: { kind: string; target?: string }): Promise<FreezeAnswer> {
  const answer = await fleet.call(fleet.keys[0]!, "/v1/freeze", { body: { ...body, reason: "test" } });
  if (!answer.ok) throw new Error(`nothing was frozen: ${answer.status} ${await answer.text()}`);
  const made = (await answer.json()) as FreezeAnswer;
  frozen.push(made.freeze.id);
  return made;
}

async function thaw(id: string): Promise<FreezeAnswer> {
  const answer = await fleet.call(fleet.keys[1]!, "/v1/thaw", { body: { id } });
  if (!answer.ok) throw new Error(`nothing was thawed: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as FreezeAnswer;
}

function everyVerdict(secret: string): Promise<Verdict[]> {
  return Promise.all(fleet.replicas.map((replica) => replica.check(secret)));
}

function all(verdict: Verdict): Verdict[] {
  return Array<Verdict>(6).fill(verdict);
}
