/** One gateway of three processes behind its ports: to a client it is one, to the books each process is a replica. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import { chatAnswer, chatStream, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Fleet, type IssuedKey, knownEverywhere, startFleet } from "./fleet.ts";
import type { Replica } from "./replica.ts";

const processes = 3;

let fleet: Fleet;
let gateway: Replica;
let owner: Db;
let key: IssuedKey;

beforeAll(async () => {
  fleet = await startFleet({ blindSeconds: 60, replicas: 1, processes });
  gateway = fleet.gateways[0]!;
  owner = fleet.database.openOwner().db;
  await waitFor(() => listeners() === processes, { timeoutMs: 30_000, what: "all processes" });
  const budget = await fetch(`${gateway.url}/v1/admin/budgets/${fleet.person.organizationId}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${fleet.issuer.token(fleet.person, "puaboai-sdk")}`, "content-type": "application/json" },
    body: JSON.stringify({ limit_nanos: "1000000000000" }),
  });
  if (!budget.ok) throw new Error(`no budget was set: ${budget.status} ${await budget.text()}`);
  key = (await knownEverywhere(fleet, 1))[0]!;
});
afterAll(() => fleet?.stop());

/** The processes that the gateway's first one started. */
function workers(): number[] {
  return readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
}

/** How many sockets listen on the gateway's port: each process that serves has one (proc(5), state 0A). */
function listeners(): number {
  const port = gateway.port.toString(16).toUpperCase().padStart(4, "0");
  const sockets = ["tcp", "tcp6"].flatMap((name) => readFileSync(`/proc/net/${name}`, "utf8").split("\n"));
  return sockets.filter((line) => new RegExp(`^ *\\d+: [0-9A-F]+:${port} [0-9A-F]+:0000 0A `).test(line)).length;
}

/** On a connection of its own, which another process may take. @returns the status; 0: no answer */
async function call(body: object = {}): Promise<number> {
  const request = httpRequest(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    agent: false,
    headers: { authorization: `Bearer ${key.secret}`, "content-type": "application/json" },
  });
  request.end(JSON.stringify({ model: "priced", max_tokens: 20, messages: [{ role: "user", content: "hello" }], ...body }));
  try {
    const [answer] = await once(request, "response");
    answer.resume();
    await once(answer, "end");
    return answer.statusCode;
  } catch {
    return 0;
  }
}

/** The sum of all series of a metric, as one scrape tells it. */
async function figure(name: string): Promise<number> {
  const text = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** What the books say of the organization's budget, and how many calls they know. */
async function books() {
  const organization = uuidOf("organization", fleet.person.organizationId);
  const { rows } = await sql<{ settled: bigint; granted: bigint; cost: bigint; calls: number }>`
    SELECT a.settled_nanos AS settled, a.granted_nanos AS granted, sum(e.cost_nanos)::bigint AS cost, count(e)::int AS calls
    FROM budget_accounts a JOIN budgets b ON b.id = a.budget_id LEFT JOIN usage_events e ON e.account_ids @> ARRAY[a.id]
    WHERE b.organization_id = ${organization} GROUP BY a.id`.execute(owner);
  return rows[0]!;
}

const processesThatWrote = async (): Promise<number> => {
  const { rows } = await sql<{ count: number }>`SELECT count(DISTINCT process_id)::int AS count FROM budget_grants`.execute(
    owner,
  );
  return rows[0]!.count;
};

it("all of them answer, and whichever is scraped tells the figures of all", async () => {
  fleet.upstream.answerWith(chatAnswer());
  const statuses = await Promise.all(Array.from({ length: 60 }, () => call()));
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(await processesThatWrote()).toBe(processes);
  for (let scrape = 0; scrape < processes + 1; scrape++) {
    expect(await figure("gen_ai_client_operation_duration_seconds_count")).toBe(60);
  }
});

it("a process that is killed amid streams takes only its own with it; another takes its place, and the books close", async () => {
  fleet.upstream.answerWith(chatStream({ firstDelayMs: 300 }));
  const seen = fleet.upstream.received.length;
  const before = await books();
  const calls = Array.from({ length: 60 }, () => call({ stream: true }));
  await waitFor(() => fleet.upstream.received.length - seen === 60, { what: "calls under way" });
  const [victim] = workers();
  process.kill(victim!, "SIGKILL");
  const statuses = await Promise.all(calls);
  const lost = statuses.filter((status) => status !== 200).length;
  expect(lost).toBeGreaterThan(0);
  expect(lost).toBeLessThan(60);
  expect(new Set(await Promise.all(Array.from({ length: 20 }, () => call({ stream: true }))))).toEqual(new Set([200]));
  await waitFor(() => listeners() === processes && !workers().includes(victim!), { timeoutMs: 20_000, what: "another" });
  await waitFor(async () => (await books()).calls === before.calls + 80, { timeoutMs: 30_000, what: "a row for every call" });
  expect(await gateway.stop()).toBe(0);
  const { settled, granted, cost } = await books();
  expect({ settled, granted }).toEqual({ settled: cost, granted: 0n });
});
