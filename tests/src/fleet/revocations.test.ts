/**
 * What a receipt promises, with everything in its way: from a 200 on, no check that starts at any replica accepts the key.
 * Blind seconds are 0 here: who hears nothing relies on nothing.
 */
import { setTimeout as delay } from "node:timers/promises";
import { uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import { ageChanges, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { nodeOf } from "./confirmation.ts";
import { type Fleet, type IssuedKey, knownEverywhere, startFleet } from "./fleet.ts";
import type { Replica } from "./replica.ts";
import { startTraffic, type Traffic } from "./traffic.ts";

let fleet: Fleet;
let traffic: Traffic | undefined;

beforeAll(async () => {
  fleet = await startFleet();
});
afterEach(async () => {
  await traffic?.stop();
  traffic = undefined;
  await fleet.heal();
});
afterAll(async () => {
  await fleet?.stop();
});

it("with all well, every replica has applied a revocation when its receipt comes, and refuses from then on", async () => {
  const keys = await knownEverywhere(fleet, 12);
  traffic = startTraffic(fleet.replicas, secretsOf(keys));
  const confirmedAt = new Map<string, number>();
  for (const [at, key] of keys.slice(0, 10).entries()) {
    const receipt = await fleet.revoke(key.id, { at: fleet.keys[at % 3]! });
    expect(receipt.confirmed).toBe(true);
    expect(fleet.replicas.map((replica) => nodeOf(receipt, replica))).toEqual(Array(6).fill("applied"));
    confirmedAt.set(key.secret, performance.now());
  }
  await asked(fleet.replicas, 50);
  expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
  // The others went on all the while.
  for (const replica of fleet.replicas) expect(await replica.check(keys[11]!.secret)).toBe("accepted");
});

it("two writers that commit in the other order than they began: each one's receipt holds, and neither waits for what it does not need", async () => {
  const [first, second] = await knownEverywhere(fleet, 2);
  traffic = startTraffic(fleet.replicas, secretsOf([first!, second!]));
  const { db } = fleet.database.openOwner();
  const one = await db.startTransaction().execute();
  await sql`UPDATE api_keys SET state = 'revoked', revoked_at = now() WHERE id = ${uuidOf("key", first!.id)}::uuid`.execute(one);
  const other = await db.startTransaction().execute();
  await sql`UPDATE api_keys SET state = 'revoked', revoked_at = now() WHERE id = ${uuidOf("key", second!.id)}::uuid`.execute(
    other,
  );
  const revOfOther = await record(other, second!);
  const recording = record(one, first!);
  await other.commit().execute();
  const receiptOfOther = await fleet.confirm(revOfOther);
  expect(receiptOfOther.confirmed).toBe(true);
  const confirmedAt = new Map([[second!.secret, performance.now()]]);
  // The first is not committed yet, so its key is as good as before.
  for (const replica of fleet.replicas) expect(await replica.check(first!.secret)).toBe("accepted");
  const revOfOne = await recording;
  expect(revOfOne).toBe(revOfOther + 1);
  await one.commit().execute();
  expect((await fleet.confirm(revOfOne)).confirmed).toBe(true);
  confirmedAt.set(first!.secret, performance.now());
  await asked(fleet.replicas, 20);
  expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
});

it("Redis flushed all through a revocation takes nothing from its receipt", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  traffic = startTraffic(fleet.replicas, [key!.secret]);
  const flushing = new AbortController();
  const flushes = (async () => {
    while (!flushing.signal.aborted) await fleet.redis.flush();
  })();
  const receipt = await fleet.revoke(key!.id);
  const confirmedAt = new Map([[key!.secret, performance.now()]]);
  flushing.abort();
  await flushes;
  expect(receipt.confirmed).toBe(true);
  await asked(fleet.replicas, 20);
  expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
});

it("a verifier paused over a revocation does not hold up its receipt for longer than its lease, and refuses when it runs again", async () => {
  const keys = await knownEverywhere(fleet, 1);
  const [key] = keys;
  const paused = [fleet.gateways[0]!, fleet.keys[2]!];
  for (const replica of paused) replica.pause();
  // They lie in the sockets of the paused processes, who will read them when they run again.
  const waiting = paused.map((replica) => replica.check(key!.secret, { timeoutMs: 20_000 }));
  const receipt = await fleet.revoke(key!.id);
  expect(receipt.confirmed).toBe(true);
  expect(receipt.elapsed_ms).toBeLessThan(2000);
  for (const replica of fleet.replicas) {
    expect(nodeOf(receipt, replica)).toBe(paused.includes(replica) ? "run_out" : "applied");
  }
  for (const replica of paused) replica.resume();
  expect(await Promise.all(waiting)).toEqual(["refused", "refused"]);
  for (const replica of fleet.replicas) expect(await replica.check(key!.secret)).toBe("refused");
});

it.each(["cut", "hung"] as const)("Redis %s from every process: polling confirms before any lease runs out", async (state) => {
  const keys = await knownEverywhere(fleet, 3);
  for (const { wires } of fleet.replicas) wires.redis.state = state;
  traffic = startTraffic(fleet.replicas, secretsOf(keys));
  const confirmedAt = new Map<string, number>();
  for (const key of keys) {
    const receipt = await fleet.revoke(key.id);
    expect(fleet.replicas.map((replica) => nodeOf(receipt, replica))).toEqual(Array(6).fill("applied"));
    confirmedAt.set(key.secret, performance.now());
  }
  await asked(fleet.replicas, 20);
  expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
});

it.each(["cut", "hung"] as const)(
  "verifiers with PostgreSQL %s run out, and their keys go on by asking pv-keys",
  async (state) => {
    const [key, other] = await knownEverywhere(fleet, 2);
    const [gateway, keysReplica] = [fleet.gateways[1]!, fleet.keys[1]!];
    gateway.wires.postgres.state = state;
    fleet.keys[2]!.wires.postgres.state = state;
    traffic = startTraffic([gateway, keysReplica], secretsOf([key!, other!]));
    const receipt = await fleet.revoke(key!.id);
    const confirmedAt = new Map([[key!.secret, performance.now()]]);
    expect(receipt.confirmed).toBe(true);
    expect(nodeOf(receipt, gateway)).toBe("run_out");
    // pv-keys tells it about each key, and what is frozen.
    expect(await gateway.check(key!.secret)).toBe("refused");
    expect(await gateway.check(other!.secret)).toBe("accepted");
    await asked([gateway], 20);
    expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
    // A pv-keys without PostgreSQL has nobody to ask, and says so instead of refusing.
    const told = await Promise.all([key!, other!].map(({ secret }) => fleet.keys[2]!.check(secret)));
    expect(told).toEqual(["unavailable", "unavailable"]);
  },
);

it("a verifier cut from everything runs out and answers that it cannot tell", async () => {
  const [key, other] = await knownEverywhere(fleet, 2);
  const gateway = fleet.gateways[2]!;
  for (const wire of Object.values(gateway.wires)) wire.state = "cut";
  const receipt = await fleet.revoke(key!.id);
  expect(receipt.confirmed).toBe(true);
  expect(nodeOf(receipt, gateway)).toBe("run_out");
  for (const { secret } of [key!, other!]) expect(await gateway.check(secret)).toBe("unavailable");
});

it("a look-up under way while its key is revoked is never served to a check that starts after the receipt", async () => {
  const gateway = fleet.gateways[0]!;
  const keys = await Promise.all(Array.from({ length: 15 }, () => fleet.makeKey()));
  gateway.wires.keys!.delayMs = 120;
  gateway.wires.postgres.delayMs = 60;
  const late: string[] = [];
  await Promise.all(
    keys.map(async (key, at) => {
      const filling = gateway.check(key.secret);
      // The answer is now somewhere between leaving the gateway and coming back.
      await delay(at * 20);
      const receipt = await fleet.revoke(key.id, { at: fleet.keys[1]! });
      expect(receipt.confirmed).toBe(true);
      for (let i = 0; i < 3; i++) late.push(await gateway.check(key.secret));
      await filling;
      late.push(await gateway.check(key.secret));
    }),
  );
  expect(late.filter((verdict) => verdict !== "refused" && verdict !== "unavailable")).toEqual([]);
});

it("with a verifier blind for long, its look-up from before a revocation answers nobody who asks after the receipt", async () => {
  const gateway = fleet.gateways[0]!;
  const [first, ...keys] = await knownEverywhere(fleet, 6);
  gateway.wires.postgres.state = "hung";
  // Its lease is known to be over from here on, so that receipts do not wait for it.
  expect((await fleet.revoke(first!.id)).confirmed).toBe(true);
  gateway.wires.keys!.delayMs = 250;
  for (const key of keys) {
    const before = gateway.check(key.secret);
    await delay(350);
    const receipt = await fleet.revoke(key.id);
    expect(receipt.confirmed).toBe(true);
    expect(await gateway.check(key.secret)).not.toBe("accepted");
    await before;
  }
});

it("a verifier that starts while keys are revoked accepts none of them after its receipt", async () => {
  const keys = await knownEverywhere(fleet, 30);
  const starting = fleet.gateways[2]!;
  await starting.kill();
  traffic = startTraffic([starting], secretsOf(keys), { callers: 4 });
  const confirmedAt = new Map<string, number>();
  const ready = starting.start();
  await Promise.all(
    keys.map(async (key, at) => {
      await delay(at * 100);
      const receipt = await fleet.revoke(key.id);
      expect(receipt.confirmed).toBe(true);
      confirmedAt.set(key.secret, performance.now());
    }),
  );
  await ready;
  await asked([starting], 30);
  expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
});

it("two keys revoked at once at two replicas: both receipts hold", async () => {
  const keys = await knownEverywhere(fleet, 20);
  traffic = startTraffic(fleet.replicas, secretsOf(keys));
  const confirmedAt = new Map<string, number>();
  await Promise.all(
    keys.map(async (key, at) => {
      const receipt = await fleet.revoke(key.id, { at: fleet.keys[at % 3]! });
      expect(receipt.confirmed).toBe(true);
      confirmedAt.set(key.secret, performance.now());
    }),
  );
  await asked(fleet.replicas, 40);
  expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
});

it("after a restore nobody goes on with what was known before it, and no receipt counts what was applied before it", async () => {
  const [gone, kept] = await knownEverywhere(fleet, 2);
  traffic = startTraffic(fleet.replicas, [kept!.secret]);
  const { db } = fleet.database.openOwner();
  // A restored database: another generation, a counter that went back, and keys that are not as they were.
  await db.transaction().execute(async (tx) => {
    await sql`UPDATE api_keys SET state = 'revoked', revoked_at = now() WHERE id = ${uuidOf("key", gone!.id)}::uuid`.execute(tx);
    await sql`DELETE FROM changes WHERE rev > 1`.execute(tx);
    await sql`UPDATE change_counter SET generation = gen_random_uuid(), rev = 1`.execute(tx);
  });
  // Nobody has looked yet: what the leases say of the old feed is more than the new one has.
  const receipt = await fleet.revoke(kept!.id);
  const confirmedAt = new Map([[kept!.secret, performance.now()]]);
  expect(receipt.confirmed).toBe(true);
  await asked(fleet.replicas, 20);
  expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
  for (const replica of fleet.replicas) {
    await waitFor(async () => (await replica.check(gone!.secret)) === "refused", { what: `${replica.name}'s refusal` });
  }
});

it("a verifier that slept until the changes it had not read were dropped goes on with nothing of what it knew", async () => {
  const [first, second, third, kept] = await knownEverywhere(fleet, 4);
  const asleep = [fleet.gateways[0]!, fleet.keys[1]!];
  for (const replica of asleep) {
    // No rumour waits for it in a socket: the feed alone tells it.
    replica.wires.redis.state = "cut";
    replica.pause();
  }
  for (const { id } of [first!, second!, third!]) expect((await fleet.revoke(id)).confirmed).toBe(true);
  const owner = fleet.database.openOwner();
  // Months later: the second revocation is gone with all that was before it, the third is still in the feed.
  const { rows } = await sql<{ rev: bigint }>`SELECT rev FROM change_counter`.execute(owner.db);
  const head = Number(rows[0]!.rev);
  await ageChanges(owner, { to: head - 1 });
  const nodes = asleep.map(({ port }) => `%:${port}`);
  await sql`UPDATE verifier_leases SET renewed_at = now() - interval '1 hour' WHERE node LIKE ANY (${nodes}::text[])`.execute(
    owner.db,
  );
  const behind = () => sql`SELECT FROM verifier_leases WHERE applied_rev < ${head} AND NOT node LIKE ANY (${nodes}::text[])`;
  await waitFor(async () => (await behind().execute(owner.db)).rows.length === 0, { what: "the others' places" });
  // A pv-keys looks after the feed when it starts.
  await fleet.keys[2]!.kill();
  await fleet.keys[2]!.start();
  await waitFor(async () => (await sql`SELECT FROM changes WHERE rev < ${head}`.execute(owner.db)).rows.length === 0, {
    what: "the drop",
  });
  for (const replica of asleep) replica.resume();
  for (const replica of asleep) {
    for (const { secret } of [first!, second!, third!]) expect(await replica.check(secret)).toBe("refused");
    await waitFor(async () => (await replica.check(kept!.secret)) === "accepted", { what: `${replica.name}'s sight` });
    for (const { secret } of [first!, second!, third!]) expect(await replica.check(secret)).toBe("refused");
  }
});

function secretsOf(keys: readonly IssuedKey[]): string[] {
  return keys.map(({ secret }) => secret);
}

/** Waits until each of the replicas has answered so many more questions of the traffic. */
async function asked(replicas: readonly Replica[], count: number): Promise<void> {
  const before = replicas.map((replica) => traffic!.answersOf(replica));
  await waitFor(() => replicas.every((replica, at) => traffic!.answersOf(replica) >= before[at]! + count), { timeoutMs: 20_000 });
}

async function record(db: Db, key: IssuedKey): Promise<number> {
  const { rows } = await sql<{ rev: string }>`
    SELECT record_change('key', ${uuidOf("key", key.id)}::uuid, NULL)::text AS rev`.execute(db);
  return Number(rows[0]!.rev);
}
