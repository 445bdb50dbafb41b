/**
 * A budget that is far too small for 500 calls at once on three gateways that share a spool, while things break. PostgreSQL is
 * looked at all the while: what is spent and set aside never passes a limit. In the end every call that a provider saw has its row,
 * what is settled is the sum of the rows, nothing is set aside, and the provider has billed no more than the limit.
 */
import { request as httpRequest } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { toId, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type ReceivedRequest, type UpstreamScript, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from "vitest";
import { type Fleet, type IssuedKey, knownEverywhere, startFleet } from "./fleet.ts";
import type { Replica } from "./replica.ts";

const calls = 500;
/** About a third of what the calls would cost. */
const limit = 60_000_000n;

let fleet: Fleet;
let owner: Db;
let admin: string;

beforeAll(async () => {
  fleet = await startFleet({ blindSeconds: 60, sharesSpool: true });
  owner = fleet.database.openOwner().db;
  admin = fleet.issuer.token(fleet.person, "puaboai-sdk");
  await setBudget("PUT", `/${fleet.person.organizationId}`, { limit_nanos: "1000000000000" });
});
afterEach(() => fleet.heal());
afterAll(() => fleet?.stop());

async function setBudget(method: string, path: string, body: object): Promise<string> {
  const answer = await fetch(`${fleet.gateways[0]!.url}/v1/admin/budgets${path}`, {
    method,
    headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`no budget was set: ${answer.status} ${await answer.text()}`);
  return ((await answer.json()) as { id: string }).id;
}

interface Money {
  settled: bigint;
  granted: bigint;
  /** Sum of the rows that are charged to the accounts. */
  rows: bigint;
}

/** Of the budgets of a key. */
async function moneyOf(budgetIds: readonly string[]): Promise<Money[]> {
  const uuids = budgetIds.map((id) => uuidOf("budget", id)!);
  const { rows } = await sql<Money>`
    SELECT settled_nanos AS settled, granted_nanos AS granted,
      (SELECT coalesce(sum(cost_nanos), 0)::bigint FROM usage_events WHERE account_ids @> ARRAY[a.id]) AS rows
    FROM budget_accounts a WHERE budget_id = ANY(${uuids}::uuid[])`.execute(owner);
  return rows;
}

/** The provider: answers whole or streamed after a while, and keeps an account of what it bills, as its own truth. */
function bill(billed: Map<string, bigint>): UpstreamScript {
  return async (response, request) => {
    const { completionTokens, streams } = asked(request);
    const usage = { prompt_tokens: 30, completion_tokens: completionTokens };
    const id = request.headers["x-request-id"] as string;
    const billFor = (tokens: number): unknown => billed.set(id, 30n * 1000n + BigInt(tokens) * 10_000n);
    // Whoever does not wait for a whole answer is billed for it all the same; of a stream, for what was written until then.
    billFor(streams ? 0 : completionTokens);
    await delay(20 + Math.random() * 60);
    if (!streams) {
      const body = JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "priced", choices: [], usage });
      response.writeHead(200, { "content-type": "application/json" }).end(body);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let frame = 0; frame < 5 && !response.destroyed; frame++) {
      response.write(`data: {"id":"c","choices":[{"index":0,"delta":{"content":"w"}}]}\n\n`);
      billFor(frame + 1);
      await delay(15);
    }
    if (!response.destroyed) billFor(completionTokens);
    response.end(`data: ${JSON.stringify({ id: "c", choices: [], usage })}\n\ndata: [DONE]\n\n`);
  };
}

function asked({ body }: ReceivedRequest): { completionTokens: number; streams: boolean } {
  const { max_tokens: cap, stream } = JSON.parse(body.toString()) as { max_tokens: number; stream?: boolean };
  return { completionTokens: Math.ceil(cap / 2), streams: stream === true };
}

/** @returns the status; 0: no answer, as from a gateway that died or was given up */
function call(gateway: Replica, secret: string, index: number): Promise<number> {
  const body = JSON.stringify({
    model: "priced",
    max_tokens: 20 + (index % 40),
    stream: index % 3 === 0,
    messages: [{ role: "user", content: "hello" }],
  });
  const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json", "content-length": body.length };
  return new Promise((resolve) => {
    const request = httpRequest(`${gateway.url}/v1/chat/completions`, { method: "POST", headers }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode ?? 0));
      answer.once("error", () => resolve(0));
      // One in eleven goes away in the middle.
      if (index % 11 === 0) setTimeout(() => request.destroy(), 20);
    });
    request.once("error", () => resolve(0));
    request.setTimeout(20_000, () => request.destroy());
    request.end(body);
  });
}

/** Looks again and again whether a limit is passed; the promise says how often it has looked. */
function watch(budgetIds: readonly string[], until: AbortSignal): Promise<number> {
  return (async () => {
    let looks = 0;
    for (; !until.aborted; looks++) {
      for (const { settled, granted } of await moneyOf(budgetIds)) expect(settled + granted).toBeLessThanOrEqual(limit);
    }
    return looks;
  })();
}

async function budgetsOf(key: IssuedKey): Promise<string[]> {
  const of = { organization_id: fleet.person.organizationId, limit_nanos: limit.toString() };
  return [
    await setBudget("POST", "", { ...of, level: "key", subject: key.id }),
    await setBudget("POST", "", { ...of, level: "key", subject: key.id, period: "month" }),
  ];
}

const terminate = async (): Promise<void> => {
  await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user`.execute(
    owner,
  );
};

const troubles: [string, () => Promise<void>][] = [
  ["nothing breaks", async () => {}],
  ["a gateway is killed (kill -9) and a neighbour replays its journal", async () => await fleet.gateways[1]!.kill()],
  [
    "a gateway stands still for two seconds (SIGSTOP)",
    async () => {
      fleet.gateways[1]!.pause();
      await delay(2000);
      fleet.gateways[1]!.resume();
    },
  ],
  ["Redis is emptied", async () => await fleet.redis.flush()],
  [
    "PostgreSQL ends every connection, again and again, and is then out of reach for a second",
    async () => {
      for (let i = 0; i < 3; i++) {
        await terminate();
        await delay(100);
      }
      for (const { wires } of fleet.gateways) wires.postgres.state = "cut";
      await delay(1000);
      for (const { wires } of fleet.gateways) wires.postgres.state = "open";
    },
  ],
  [
    "all of it at once",
    async () => {
      const [, killed, paused] = fleet.gateways;
      await Promise.all([killed!.kill(), fleet.redis.flush(), terminate()]);
      paused!.pause();
      await delay(1000);
      paused!.resume();
    },
  ],
];

it.each(troubles)("500 calls at once on three gateways spend no more than the budget: %s", async (_, breakThings) => {
  const [key] = await knownEverywhere(fleet, 1);
  const budgetIds = await budgetsOf(key!);
  const billed = new Map<string, bigint>();
  fleet.upstream.answerWith(bill(billed));
  const done = new AbortController();
  onTestFinished(() => done.abort());
  const watched = watch(budgetIds, done.signal);
  const answers = Array.from({ length: calls }, (__, index) => call(fleet.gateways[index % 3]!, key!.secret, index));
  await waitFor(() => billed.size > 20, { what: "calls under way" });
  await breakThings();
  const statuses = await Promise.all(answers);
  const told = new Map<number, number>();
  for (const status of statuses) told.set(status, (told.get(status) ?? 0) + 1);
  expect(told.get(200), JSON.stringify([...told])).toBeGreaterThan(10);
  expect([...told.keys()].filter((status) => ![0, 200, 402, 502, 503].includes(status))).toEqual([]);
  // The budget is spent to its end, and did not merely suffice.
  await waitFor(async () => (await call(fleet.gateways[0]!, key!.secret, 1)) === 402, {
    timeoutMs: 30_000,
    what: "the budget's end",
  });
  await waitFor(
    async () => (await moneyOf(budgetIds)).every(({ settled, granted, rows }) => granted === 0n && settled === rows),
    { timeoutMs: 30_000, intervalMs: 200, what: "a settled budget" },
  );
  done.abort();
  expect(await watched).toBeGreaterThan(5);
  const total = [...billed.values()].reduce((sum, cost) => sum + cost, 0n);
  expect(total).toBeLessThanOrEqual(limit);
  const { rows } = await sql<{ id: string; count: number }>`
    SELECT request_id AS id, count(*)::integer AS count FROM usage_events
    WHERE key_id = ${uuidOf("key", key!.id)!} AND attempt = 1 GROUP BY request_id`.execute(owner);
  const noted = new Map(rows.map(({ id, count }) => [toId("request", id) as string, count]));
  for (const id of billed.keys()) expect([id, noted.get(id)]).toEqual([id, 1]);
});
