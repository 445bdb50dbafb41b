/**
 * How often a usual call waits for Redis, PostgreSQL or pv-keys: a priced one, of a key with limits and budgets, while every byte to
 * and from them travels for long. Whoever waits for one of them once is as slow as that, and is counted.
 */
import { setTimeout as delay } from "node:timers/promises";
import { chatAnswer } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Fleet, type IssuedKey, startFleet } from "./fleet.ts";

const calls = 300;
const wayMs = 150;

let fleet: Fleet;
let key: IssuedKey;

beforeAll(async () => {
  fleet = await startFleet({ blindSeconds: 60 });
  fleet.upstream.answerWith(chatAnswer());
  key = await fleet.makeKey({
    limits: [
      { name: "minute", limit: 50_000, window_seconds: 60 },
      { name: "hour", limit: 100_000, window_seconds: 3600 },
    ],
  });
  await setBudget("PUT", `/${fleet.person.organizationId}`, {});
  const of = { organization_id: fleet.person.organizationId };
  await setBudget("POST", "", { ...of, level: "key", subject: key.id, period: "day" });
  await setBudget("POST", "", { ...of, level: "model", subject: "priced", period: "month" });
});
afterAll(() => fleet?.stop());

async function setBudget(method: string, path: string, body: object): Promise<void> {
  const answer = await fetch(`${fleet.gateways[0]!.url}/v1/admin/budgets${path}`, {
    method,
    headers: {
      authorization: `Bearer ${fleet.issuer.token(fleet.person, "puaboai-sdk")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ ...body, limit_nanos: "1000000000000" }),
  });
  if (!answer.ok) throw new Error(`no budget was set: ${answer.status} ${await answer.text()}`);
}

/** @returns how long it took, ms */
async function call(): Promise<number> {
  const beganAt = performance.now();
  const answer = await fetch(`${fleet.gateways[0]!.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key.secret}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "priced", max_tokens: 50, messages: [{ role: "user", content: "hello" }] }),
  });
  expect(answer.status, await answer.text()).toBe(200);
  return performance.now() - beganAt;
}

async function callSteadily(count: number): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < count; i++) {
    took.push(await call());
    await delay(3);
  }
  return took;
}

it("hardly one call of a hundred waits for any of them, and nobody is asked about the key", async () => {
  const { postgres, redis, keys } = fleet.gateways[0]!.wires;
  await callSteadily(calls);
  const wires = [postgres, redis, keys!];
  const heard = await keys!.listen();
  for (const wire of wires) wire.delayMs = wayMs;
  // The first that need a block find out how long it takes now.
  await callSteadily(20);
  const took = await callSteadily(calls);
  for (const wire of wires) wire.delayMs = 0;
  const waited = took.filter((ms) => ms >= 2 * wayMs);
  expect(waited.length, `${waited.length} of ${calls} waited`).toBeLessThanOrEqual(calls / 100);
  expect(await heard()).not.toContain("POST");
});
