/** What is away, and what goes on: the table of guarantees, each row done to real processes. Blind seconds are 3 here. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { generateApiKey, uuidOf } from "@nexus/core";
import { waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { nodeOf } from "./confirmation.ts";
import { type Fleet, type IssuedKey, knownEverywhere, startFleet } from "./fleet.ts";
import type { Replica, Verdict } from "./replica.ts";
import { startTraffic, type Traffic } from "./traffic.ts";

const blindSeconds = 3;
/** From a verifier's last renewal on. */
const leaseMs = 1500;
/** For timers of a busy machine. */
const marginMs = 300;

let fleet: Fleet;
let traffic: Traffic | undefined;

beforeAll(async () => {
  fleet = await startFleet({ blindSeconds });
});
afterEach(async () => {
  await traffic?.stop();
  traffic = undefined;
  await fleet.heal();
});
afterAll(async () => {
  await fleet?.stop();
});

describe("Redis", () => {
  const ways: [string, () => void][] = [
    ["cut off", () => everyWire("redis", "cut")],
    ["out of reach without a word", () => everyWire("redis", "hung")],
    ["stopped (SIGSTOP)", () => fleet.redis.pause()],
  ];
  it.each(ways)(
    "%s: no check fails, new keys are found, and a revoked one is refused within the next look at the feed",
    async (_, breakIt) => {
      const [known, revoked] = await knownEverywhere(fleet, 2);
      breakIt();
      traffic = startTraffic(fleet.replicas, [known!.secret]);
      const made = await fleet.makeKey();
      expect(await everyVerdict(made.secret)).toEqual(all("accepted"));
      expect(await everyVerdict(generateApiKey("sk", "live").key)).toEqual(all("refused"));
      await fleet.call(fleet.keys[0]!, `/v1/keys/${revoked!.id}/revoke`, { body: {} });
      await waitFor(async () => (await everyVerdict(revoked!.secret)).every((verdict) => verdict === "refused"), {
        timeoutMs: 4000,
      });
      await traffic.stop();
      expect(traffic.checks.filter(({ verdict }) => verdict !== "accepted")).toEqual([]);
    },
  );

  it("flushed: nothing revoked revives and no check fails", async () => {
    const [known, revoked] = await knownEverywhere(fleet, 2);
    expect((await fleet.revoke(revoked!.id)).confirmed).toBe(true);
    traffic = startTraffic(fleet.replicas, [known!.secret]);
    for (let i = 0; i < 20; i++) {
      await fleet.redis.flush();
      expect(await everyVerdict(revoked!.secret)).toEqual(all("refused"));
    }
    await traffic.stop();
    expect(traffic.checks.filter(({ verdict }) => verdict !== "accepted")).toEqual([]);
  });
});

describe.each(["cut", "hung"] as const)("PostgreSQL %s from everybody", (state) => {
  it("known keys go on for the blind seconds and not longer; root, service and unknown keys do not, and nothing is refused that is good", async () => {
    const [known] = await knownEverywhere(fleet, 1);
    const root = await fleet.makeKey({ kind: "rk", scopes: ["keys:read"] });
    const service = await fleet.makeKey({ kind: "svc", owner: { kind: "service" }, scopes: ["keys:verify"] });
    const admin = [root, service];
    for (const { secret } of admin) expect(await fleet.keys[0]!.check(secret)).toBe("accepted");
    everyWire("postgres", state);
    const awayAt = performance.now();
    const askedAt = (check: { startedAt: number }): number => check.startedAt - awayAt;
    traffic = startTraffic(fleet.replicas, [known!.secret], { callers: 1, timeoutMs: 20_000 });
    const ofAdmins = startTraffic(
      [fleet.keys[0]!],
      admin.map(({ secret }) => secret),
      { callers: 4, timeoutMs: 20_000 },
    );
    // Sooner than a statement is given up.
    const unknown = await verdictsOf(fleet.replicas, generateApiKey("sk", "live").key, 4500);
    await waitFor(() => performance.now() - awayAt > leaseMs + blindSeconds * 1000 + marginMs + 1000, { timeoutMs: 30_000 });
    const late = await everyVerdict(known!.secret);
    await Promise.all([traffic.stop(), ofAdmins.stop()]);

    expect(unknown).toEqual(all("unavailable"));
    expect(late).toEqual(all("unavailable"));
    const verdicts = (checks: Traffic["checks"]): Set<Verdict> => new Set(checks.map(({ verdict }) => verdict));
    expect(verdicts(traffic.checks.filter((check) => askedAt(check) < blindSeconds * 1000))).toEqual(new Set(["accepted"]));
    expect(verdicts(traffic.checks.filter((check) => askedAt(check) > leaseMs + blindSeconds * 1000 + marginMs))).toEqual(
      new Set(["unavailable"]),
    );
    expect(verdicts(ofAdmins.checks)).toEqual(new Set(["accepted", "unavailable"]));
    expect(verdicts(ofAdmins.checks.filter((check) => askedAt(check) > leaseMs + marginMs))).toEqual(new Set(["unavailable"]));
  });
});

describe("pv-keys", () => {
  const ways: [string, (replica: Replica) => unknown][] = [
    ["killed", (replica) => replica.kill()],
    ["stopped (SIGSTOP)", (replica) => replica.pause()],
  ];
  it.each(ways)("all of it %s: gateways find keys in PostgreSQL, and hear of what is revoked", async (_, breakIt) => {
    const [known, revoked] = await knownEverywhere(fleet, 2);
    const made = await fleet.makeKey();
    for (const replica of fleet.keys) await breakIt(replica);
    expect(await verdictsOf(fleet.gateways, known!.secret)).toEqual(all("accepted", 3));
    expect(await verdictsOf(fleet.gateways, made.secret)).toEqual(all("accepted", 3));
    expect(await verdictsOf(fleet.gateways, generateApiKey("sk", "live").key)).toEqual(all("refused", 3));
    await revokeBySql(revoked!);
    await waitFor(async () => (await verdictsOf(fleet.gateways, revoked!.secret)).every((verdict) => verdict === "refused"), {
      timeoutMs: 4000,
    });
    expect(await verdictsOf(fleet.gateways, known!.secret)).toEqual(all("accepted", 3));
  });

  it("and PostgreSQL away: an unknown key is answered with 503, never 401", async () => {
    const [known] = await knownEverywhere(fleet, 1);
    const made = await fleet.makeKey();
    for (const replica of fleet.keys) await replica.kill();
    everyWire("postgres", "cut");
    expect(await verdictsOf(fleet.gateways, known!.secret)).toEqual(all("accepted", 3));
    for (const secret of [made.secret, generateApiKey("sk", "live").key]) {
      expect(await verdictsOf(fleet.gateways, secret)).toEqual(all("unavailable", 3));
    }
  });
});

describe("one replica", () => {
  const ways: [string, (replica: Replica) => unknown][] = [
    ["killed", (replica) => replica.kill()],
    ["paused", (replica) => replica.pause()],
  ];
  it.each(ways)("%s: the others go on without a failed check, also for keys that they do not know", async (_, breakIt) => {
    const [known] = await knownEverywhere(fleet, 1);
    const others = fleet.replicas.filter((replica) => replica !== fleet.keys[1] && replica !== fleet.gateways[0]);
    traffic = startTraffic(others, [known!.secret]);
    for (const replica of [fleet.keys[1]!, fleet.gateways[0]!]) await breakIt(replica);
    for (let i = 0; i < 5; i++) {
      // One of the gateways has lost its pv-keys with it.
      expect(await verdictsOf(others, (await fleet.makeKey()).secret)).toEqual(all("accepted", 4));
    }
    await traffic.stop();
    expect(traffic.checks.filter(({ verdict }) => verdict !== "accepted")).toEqual([]);
  });
});

describe("a crowd from one address", () => {
  it("that comes at once with a key that no replica knows yet is let in", async () => {
    const key = await fleet.makeKey();
    for (const replica of fleet.replicas) {
      const verdicts = await Promise.all(Array.from({ length: 256 }, () => replica.check(key.secret, { timeoutMs: 20_000 })));
      expect(new Set(verdicts)).toEqual(new Set(["accepted"]));
    }
  });

  it("is let in as soon as PostgreSQL is back, however often it was told that nobody can tell", async () => {
    const key = await fleet.makeKey();
    everyWire("postgres", "cut");
    for (let i = 0; i < 3; i++) {
      for (const replica of fleet.replicas) {
        const verdicts = await Promise.all(Array.from({ length: 60 }, () => replica.check(key.secret, { timeoutMs: 20_000 })));
        expect(new Set(verdicts)).toEqual(new Set(["unavailable"]));
      }
    }
    for (const { wires } of fleet.replicas) wires.postgres.state = "open";
    const verdicts: Verdict[] = [];
    await waitFor(async () => {
      const now = await everyVerdict(key.secret);
      verdicts.push(...now);
      return now.every((verdict) => verdict === "accepted");
    });
    for (const verdict of verdicts) expect(["accepted", "unavailable"]).toContain(verdict);
  });
});

describe("a receipt, while a verifier that may go on blind is paused", () => {
  it("is a 202 that names it and the time until which it may accept; from then on it refuses", async () => {
    const [key] = await knownEverywhere(fleet, 1);
    const paused = fleet.gateways[0]!;
    paused.pause();
    const revokedAt = Date.now();
    const receipt = await fleet.revoke(key!.id);
    expect(receipt.confirmed).toBe(false);
    for (const replica of fleet.replicas) expect(nodeOf(receipt, replica)).toBe(replica === paused ? "pending" : "applied");
    const until = Date.parse(receipt.nodes.find(({ state }) => state === "pending")!.until!);
    expect(until - revokedAt).toBeLessThan(leaseMs + blindSeconds * 1000 + marginMs + 200);
    await waitFor(() => Date.now() > until);
    paused.resume();
    expect(await paused.check(key!.secret)).toBe("refused");
  });

  it.each(["rk", "svc"])("is a 200 for a key of the kind %s: nobody goes on with it when the lease is over", async (kind) => {
    const service = { kind, owner: { kind: "service" }, scopes: ["keys:verify"] };
    const key = await fleet.makeKey(kind === "svc" ? service : { kind, scopes: ["keys:read"] });
    const paused = fleet.keys[2]!;
    expect(await paused.check(key.secret)).toBe("accepted");
    paused.pause();
    const waiting = paused.check(key.secret, { timeoutMs: 20_000 });
    const receipt = await fleet.revoke(key.id);
    expect(receipt.confirmed).toBe(true);
    expect(nodeOf(receipt, paused)).toBe("run_out");
    paused.resume();
    expect(await waiting).toBe("refused");
  });
});

describe.each([3_600_000, -3_600_000])("the wall clock of every verifier stepped by %d ms", (offsetMs) => {
  afterEach(async () => {
    await Promise.all(fleet.replicas.map((replica) => replica.stepClock(0)));
  });

  it("good keys keep working, what is expired or revoked stays so, and what expires does so on time", async () => {
    const soon = 3000;
    const [known, revoked] = await knownEverywhere(fleet, 2);
    const [expired] = await knownEverywhere(fleet, 1, { expires_at: new Date(Date.now() + 1500).toISOString() });
    const [lasting] = await knownEverywhere(fleet, 1, { expires_at: new Date(Date.now() + 1_800_000).toISOString() });
    expect((await fleet.revoke(revoked!.id)).confirmed).toBe(true);
    await waitFor(async () => (await everyVerdict(expired!.secret)).every((verdict) => verdict === "refused"));
    const expiresAt = Date.now() + soon;
    const [expiring] = await knownEverywhere(fleet, 1, { expires_at: new Date(expiresAt).toISOString() });
    traffic = startTraffic(fleet.replicas, [known!.secret, lasting!.secret]);
    await Promise.all(fleet.replicas.map((replica) => replica.stepClock(offsetMs)));
    for (const { secret } of [revoked!, expired!]) expect(await everyVerdict(secret)).toEqual(all("refused"));
    if (Date.now() < expiresAt - 500) expect(await everyVerdict(expiring!.secret)).toEqual(all("accepted"));
    await waitFor(() => Date.now() > expiresAt + marginMs);
    expect(await everyVerdict(expiring!.secret)).toEqual(all("refused"));
    for (const { secret } of [revoked!, expired!]) expect(await everyVerdict(secret)).toEqual(all("refused"));
    await traffic.stop();
    expect(traffic.checks.filter(({ verdict }) => verdict !== "accepted")).toEqual([]);
  });

  it("a revocation is confirmed and refused as ever", async () => {
    const [key] = await knownEverywhere(fleet, 1);
    // The first takes the person's token, which has a time of its own.
    await Promise.all(fleet.replicas.slice(1).map((replica) => replica.stepClock(offsetMs)));
    traffic = startTraffic(fleet.replicas, [key!.secret]);
    expect((await fleet.revoke(key!.id)).confirmed).toBe(true);
    const confirmedAt = new Map([[key!.secret, performance.now()]]);
    expect(await everyVerdict(key!.secret)).toEqual(all("refused"));
    await Promise.all(fleet.replicas.map((replica) => replica.stepClock(0)));
    expect(await everyVerdict(key!.secret)).toEqual(all("refused"));
    await traffic.stop();
    expect(traffic.acceptedAfter(confirmedAt)).toEqual([]);
  });
});

describe("what is no key", () => {
  const { key } = generateApiKey("sk", "live");
  const bad: [string, string][] = [
    ["1 MB of text", "pv_sk_live_" + "a".repeat(1_000_000)],
    ["15 kB of text", "pv_sk_live_" + "a".repeat(15_000)],
    ["too short", key.slice(0, -1)],
    ["a wrong checksum", key.slice(0, -1) + (key.endsWith("a") ? "b" : "a")],
    ["an unknown prefix", key.replace("pv_sk", "pv_xx")],
    ["an invisible character", `${key}\u200B`],
    ["an invisible character within", `${key.slice(0, 20)}\u00AD${key.slice(20)}`],
    ["a NUL", `${key}\u0000`],
  ];

  it.each(bad)("%s is answered by every replica and reaches neither SQL nor a neighbour", async (_, text) => {
    const heard = await Promise.all(fleet.replicas.flatMap(({ wires }) => Object.values(wires)).map((wire) => wire.listen()));
    const statuses = await Promise.all([
      ...fleet.keys.map((replica) => verifyStatus(replica, text)),
      ...fleet.gateways.map((replica) => bearerStatus(replica, text)),
    ]);
    for (const status of statuses) expect([200, 400, 401, 413, 422, 431]).toContain(status);
    for (const text of heard) expect(await text()).not.toMatch(/verifiable_keys|\/v1\/keys\/lookup/);
  });

  it("while a well-formed key that nobody has made is looked up", async () => {
    const heard = await fleet.keys[0]!.wires.postgres.listen();
    expect(await verifyStatus(fleet.keys[0]!, generateApiKey("sk", "live").key)).toBe(200);
    expect(await heard()).toContain("verifiable_keys");
  });
});

function everyWire(wire: "postgres" | "redis", state: "cut" | "hung"): void {
  for (const { wires } of fleet.replicas) wires[wire].state = state;
}

function verdictsOf(replicas: readonly Replica[], secret: string, timeoutMs = 20_000): Promise<Verdict[]> {
  return Promise.all(replicas.map((replica) => replica.check(secret, { timeoutMs })));
}

function everyVerdict(secret: string): Promise<Verdict[]> {
  return verdictsOf(fleet.replicas, secret);
}

function all(verdict: Verdict, count = 6): Verdict[] {
  return Array<Verdict>(count).fill(verdict);
}

/** As pv-keys would, while there is none. */
async function revokeBySql({ id }: IssuedKey): Promise<void> {
  const { db } = fleet.database.openOwner();
  await db.transaction().execute(async (tx) => {
    const key = uuidOf("key", id);
    await sql`UPDATE api_keys SET state = 'revoked', revoked_at = now() WHERE id = ${key}::uuid`.execute(tx);
    await sql`SELECT record_change('key', ${key}::uuid, NULL)`.execute(tx);
  });
}

async function verifyStatus(replica: Replica, key: string): Promise<number> {
  const answer = await fetch(`${replica.internalUrl}/v1/keys/verify`, {
    method: "POST",
    headers: { authorization: `Bearer ${fleet.serviceToken}`, "content-type": "application/json" },
    body: JSON.stringify({ key }),
  });
  if (answer.status === 200) expect(await answer.json()).toEqual({ valid: false, code: "not_found" });
  else await answer.arrayBuffer();
  return answer.status;
}

/** The bytes go out as they are: fetch itself would refuse some of them. */
async function bearerStatus(replica: Replica, key: string): Promise<number> {
  const sent = request(`${replica.url}/v1/models`, {
    headers: { authorization: `Bearer ${Buffer.from(key.replaceAll("\u0000", "%00")).toString("latin1")}` },
    agent: false,
  });
  sent.end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  answer.resume();
  await once(answer, "end");
  return answer.statusCode ?? 0;
}
