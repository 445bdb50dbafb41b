/** Freezes, and streams under way when their key ends or is frozen: in real processes, also one that was stopped meanwhile. */
import { request as httpRequest } from "node:http";
import { text } from "node:stream/consumers";
import type { FreezeAnswer } from "@nexus/contracts/freezes";
import { chatStream, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { nodeOf } from "./confirmation.ts";
import { type Fleet, knownEverywhere, startFleet } from "./fleet.ts";
import type { Replica } from "./replica.ts";

let fleet: Fleet;
const body = JSON.stringify({ model: "chat", stream: true, messages: [{ role: "user", content: "hello" }] });

beforeAll(async () => {
  fleet = await startFleet();
  // Frames for a minute.
  fleet.upstream.answerWith(chatStream({ texts: Array.from({ length: 1200 }, (_, i) => `w${i} `), delayMs: 50 }));
});
afterEach(() => fleet.heal());
afterAll(() => fleet?.stop());

interface Stream {
  begun: Promise<void>;
  whole: Promise<string>;
  /** Sends the second half of the request. */
  finish(): void;
}

/** A request in two halves: its head, by which it is checked, and half of its body come first. */
function open(gateway: Replica, secret: string): Stream {
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const { promise: whole, resolve: read, reject } = Promise.withResolvers<string>();
  const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json", "content-length": body.length };
  const request = httpRequest(`${gateway.url}/v1/chat/completions`, { method: "POST", headers }, (answer) => {
    answer.once("data", () => resolve());
    text(answer).then(read, reject);
  });
  request.on("error", reject);
  request.write(body.slice(0, 20));
  return { begun, whole, finish: () => void request.end(body.slice(20)) };
}

async function stream(gateway: Replica, secret: string): Promise<Stream> {
  const opened = open(gateway, secret);
  opened.finish();
  await opened.begun;
  return opened;
}

const [revoked, frozen, done] = ['"code":"key_revoked"', '"code":"frozen"', "[DONE]"];

it("a revocation cuts the key's streams at every gateway and no others", async () => {
  const [key, other] = await knownEverywhere(fleet, 2);
  const [streams, beside] = [
    await Promise.all(fleet.gateways.map((gateway) => stream(gateway, key!.secret))),
    await stream(fleet.gateways[0]!, other!.secret),
  ];
  const receipt = await fleet.revoke(key!.id);
  expect(receipt.confirmed).toBe(true);
  for (const { whole } of streams) {
    const said = await whole;
    expect(said).toContain(revoked);
    expect(said).not.toContain(done);
  }
  const ended = await Promise.race([beside.whole.then(() => true), fleet.gateways[0]!.check(other!.secret).then(() => false)]);
  expect(ended).toBe(false);
  await fleet.revoke(other!.id);
  expect(await beside.whole).toContain(revoked);
});

it("a key whose time is over ends its streams at every gateway, also at one that can ask nobody, and no others", async () => {
  const endsAt = Date.now() + 6000;
  const [key] = await knownEverywhere(fleet, 1, { expires_at: new Date(endsAt).toISOString() });
  const [other] = await knownEverywhere(fleet, 1);
  const streams = await Promise.all(fleet.gateways.map((gateway) => stream(gateway, key!.secret)));
  const beside = await stream(fleet.gateways[0]!, other!.secret);
  const [, stopped, alone] = fleet.gateways;
  for (const wire of Object.values(alone!.wires)) wire.state = "cut";
  stopped!.pause();
  const endings = streams.map(async ({ whole }) => ({ said: await whole, at: Date.now() }));
  const [first, , third] = endings;
  for (const ending of [first!, third!]) {
    const { said, at } = await ending;
    expect(said).toContain(revoked);
    expect(said).not.toContain(done);
    // PostgreSQL's time as carried on is never behind, and ahead by no more than a renewal may take.
    expect(at).toBeGreaterThan(endsAt - 900);
    expect(at).toBeLessThan(endsAt + 1000);
  }
  stopped!.resume();
  expect((await endings[1]!).said).toContain(revoked);
  expect(await Promise.race([beside.whole.then(() => true), fleet.gateways[0]!.check(other!.secret).then(() => false)])).toBe(
    false,
  );
  await fleet.revoke(other!.id);
  await beside.whole;
});

it("a gateway that was stopped during a stream cuts it when it runs again", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  const gateway = fleet.gateways[1]!;
  const { whole } = await stream(gateway, key!.secret);
  gateway.pause();
  const receipt = await fleet.revoke(key!.id);
  expect(receipt.confirmed).toBe(true);
  expect(nodeOf(receipt, gateway)).toBe("run_out");
  gateway.resume();
  expect(await whole).toContain(revoked);
});

it("a gateway that was stopped between the check and the call cuts the call when it runs again", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  const gateway = fleet.gateways[2]!;
  const before = fleet.upstream.received.length;
  const half = open(gateway, key!.secret);
  // Two round trips later the head that came first has been checked.
  for (const _ of [1, 2]) expect(await gateway.check(key!.secret)).toBe("accepted");
  gateway.pause();
  expect((await fleet.revoke(key!.id)).confirmed).toBe(true);
  gateway.resume();
  half.finish();
  const said = await half.whole;
  expect(said).toContain(revoked);
  expect(said).not.toContain(done);
  // Whether it reached the provider is chance; if it did, that one was told to stop.
  for (const call of fleet.upstream.received.slice(before)) await waitFor(() => call.abortedAt !== undefined);
});

it("a freeze of the model cuts its streams at every gateway, and with the thaw new ones begin", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  const streams = await Promise.all(fleet.gateways.map((gateway) => stream(gateway, key!.secret)));
  const reason = { reason: "test" };
  const answer = await fleet.call(fleet.keys[0]!, "/v1/freeze", { body: { kind: "model", target: "chat", ...reason } });
  expect(answer.status).toBe(200);
  const { freeze, effective_after_ms: effectiveAfterMs } = (await answer.json()) as FreezeAnswer;
  expect(effectiveAfterMs).toBeGreaterThan(0);
  for (const gateway of fleet.gateways) {
    const refused = open(gateway, key!.secret);
    refused.finish();
    expect(await refused.whole).toContain(frozen);
  }
  for (const { whole } of streams) {
    const said = await whole;
    expect(said).toContain(frozen);
    expect(said).not.toContain(done);
  }
  expect((await fleet.call(fleet.keys[1]!, "/v1/thaw", { body: { id: freeze.id } })).status).toBe(200);
  const again = await stream(fleet.gateways[0]!, key!.secret);
  await fleet.revoke(key!.id);
  await again.whole;
});

it("an administrator pulls the switch at a gateway, and what pv-keys refuses is refused there", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  const gateway = fleet.gateways[0]!;
  const [admin, somebody] = [fleet.person, fleet.issuer.person()].map((person) => fleet.issuer.token(person, "puaboai-sdk"));
  const call = (path: string, body: object, by = admin!) => fleet.call(gateway, `/v1/admin/${path}`, { body, by });
  const answer = await call("freeze", { kind: "key", target: key!.id, reason: "test" });
  expect(answer.status).toBe(200);
  const { freeze } = (await answer.json()) as FreezeAnswer;
  expect(freeze).toMatchObject({ authority: "platform", created_by: fleet.person.userId });
  for (const replica of fleet.replicas) expect(await replica.check(key!.secret)).toBe("refused");
  expect((await call("thaw", { id: freeze.id })).status).toBe(200);
  for (const replica of fleet.replicas) expect(await replica.check(key!.secret)).toBe("accepted");
  expect((await call("freeze", { kind: "everything", reason: "test" }, somebody)).status).toBe(403);
  const refused = await call("freeze", { kind: "environment", target: "prod", reason: "test" });
  expect(refused.status).toBe(422);
  expect(await refused.json()).toMatchObject({ code: "invalid_request", errors: [{ pointer: "/target" }] });
  expect((await call("thaw", { id: "frz_1" })).status).toBe(404);
});

it("a gateway that PostgreSQL is cut off from learns at pv-keys what is frozen", async () => {
  const [key] = await knownEverywhere(fleet, 1);
  const gateway = fleet.gateways[1]!;
  gateway.wires.postgres.state = "cut";
  const answer = await fleet.call(fleet.keys[0]!, "/v1/freeze", { body: { kind: "key", target: key!.id, reason: "test" } });
  expect(answer.status).toBe(200);
  const { freeze, receipt } = (await answer.json()) as FreezeAnswer;
  expect(nodeOf(receipt, gateway)).toBe("run_out");
  expect(await gateway.check(key!.secret)).toBe("refused");
  expect((await fleet.call(fleet.keys[0]!, "/v1/thaw", { body: { id: freeze.id } })).status).toBe(200);
  expect(await gateway.check(key!.secret)).toBe("accepted");
});
