import { openAuditWriter } from "@nexus/audit";
import { loadConfig } from "@nexus/config";
import { newId, newUuid, systemClock, toId, uuidOf } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type GatewayScene, openGatewayScene } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";
import { dropOldMinutes } from "./rollups.store.ts";
import { settleRows } from "./settle-rows.ts";
import type { UsageRow } from "./usage-row.ts";

let scene: GatewayScene;
let gateway: RunningService;
let ai: Database;
let admin: string;
const hour = 3_600_000;
const audit = openAuditWriter({ clock: systemClock, macKey: "k".repeat(32) });

beforeAll(async () => {
  scene = await openGatewayScene();
  ai = openDatabase(scene.database.ai, { applicationName: "rollups-test" });
  const config = { ...loadConfig(configSchema, { ...scene.environment, PORT: "1" }, configRules), PORT: 0 };
  gateway = await startService(config, {
    logger: createLogger({ service: "puaboai-sdk", level: "debug", destination: captureLogs().stream }),
  });
  admin = scene.issuer.token(scene.issuer.person(["admin"]), "puaboai-sdk");
});
afterAll(async () => {
  await gateway.close();
  await ai.close();
  await scene.close();
});

function rowOf(change: Partial<UsageRow>): UsageRow {
  return {
    occurredAt: Date.now(),
    requestId: newUuid(),
    attempt: 1,
    organizationId: newUuid(),
    keyId: null,
    userId: null,
    endpoint: "chat.completions",
    model: "m",
    provider: "p",
    upstreamModel: "u",
    stream: false,
    outcome: "ok",
    httpStatus: 200,
    errorCode: null,
    inputTokens: 10,
    outputTokens: 4,
    cachedInputTokens: 2,
    cacheWriteTokens: 0,
    reasoningTokens: 1,
    usageSource: "provider",
    cost: 100n,
    session: null,
    tags: [],
    accountIds: [],
    budgetDecision: null,
    reserved: 0n,
    price: null,
    durationMs: 5,
    firstByteMs: null,
    clientRequestId: null,
    traceId: null,
    ...change,
  };
}
const settle = (rows: UsageRow[]) =>
  settleRows({ db: ai.db, audit, processId: newUuid(), setAside: () => expect.unreachable() }, rows);

interface Summary {
  from: string;
  to: string;
  data: Record<string, unknown>[];
  totals: { attempts: number; cost_nanos: string };
}
async function summary(
  query: string,
  bearer: string,
): Promise<{ status: number; body: Summary & { errors: { pointer: string }[] } }> {
  const answer = await fetch(`${gateway.url}/v1/usage/summary?${query}`, { headers: { authorization: `Bearer ${bearer}` } });
  return { status: answer.status, body: (await answer.json()) as Summary & { errors: { pointer: string }[] } };
}

test("whatever comes twice, late or at once, the sums of minutes and hours are those of the rows", async () => {
  const organizations = [newUuid(), newUuid()];
  const keys = [newUuid(), null];
  const rows = Array.from({ length: 300 }, (_, n) =>
    rowOf({
      organizationId: organizations[n % 2]!,
      keyId: keys[n % 3 === 0 ? 1 : 0]!,
      model: `m${n % 4}`,
      // Some of an hour and some of a day ago, as from a journal that is replayed.
      occurredAt: Date.now() - (n % 5 === 0 ? hour : n % 7 === 0 ? 24 * hour : 0) - n,
      outcome: n % 11 === 0 ? "crash" : "ok",
      cost: BigInt(n),
    }),
  );
  // Each row comes two times, in another order, from six at once.
  const shuffled = (seed: number) => rows.toSorted((a, b) => ((a.occurredAt * seed) % 97) - ((b.occurredAt * seed) % 97));
  await Promise.all(
    [3, 5, 7, 11, 13, 17].map(async (seed, part) => {
      const own = shuffled(seed).filter((_, n) => n % 3 === part % 3);
      for (let at = 0; at < own.length; at += 20) await settle(own.slice(at, at + 20));
    }),
  );
  await settle(rows);
  for (const [table, unit] of [
    ["usage_minutes", "minute"],
    ["usage_hours", "hour"],
  ] as const) {
    const { rows: differences } = await sql`
      WITH counted AS (
        SELECT organization_id, bucket, key_id, user_id, model, provider, attempts, failed, input_tokens, cached_input_tokens,
          output_tokens, reasoning_tokens, cost_nanos, duration_ms FROM ${sql.table(table)} WHERE organization_id = ANY(${organizations}::uuid[])
      ), true_sums AS (
        SELECT organization_id, date_trunc(${unit}, occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS bucket,
          coalesce(key_id, '00000000-0000-0000-0000-000000000000'), coalesce(user_id, '00000000-0000-0000-0000-000000000000'),
          model, provider, count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(input_tokens)::bigint,
          sum(cached_input_tokens)::bigint, sum(output_tokens)::bigint, sum(reasoning_tokens)::bigint, sum(cost_nanos)::bigint,
          sum(duration_ms)::bigint
        FROM usage_events WHERE organization_id = ANY(${organizations}::uuid[]) GROUP BY 1, 2, 3, 4, 5, 6
      )
      (TABLE counted EXCEPT TABLE true_sums) UNION ALL (TABLE true_sums EXCEPT TABLE counted)`.execute(scene.owner.db);
    expect([table, differences]).toEqual([table, []]);
  }
});

test("names that clients make up for models make no rows of their own", async () => {
  const organizationId = newUuid();
  await settle(
    Array.from({ length: 50 }, (_, n) =>
      rowOf({ organizationId, model: `made-up-${n}`, provider: "", outcome: "error", cost: 0n }),
    ),
  );
  const stored = await scene.owner.db
    .selectFrom("usage_hours")
    .selectAll()
    .where("organization_id", "=", organizationId)
    .execute();
  expect(stored).toMatchObject([{ model: "", attempts: 50n, failed: 50n }]);
});

test("minutes are dropped when they are old, hours stay", async () => {
  const organizationId = newUuid();
  await settle([rowOf({ organizationId, occurredAt: Date.now() - 10 * 24 * hour }), rowOf({ organizationId })]);
  await dropOldMinutes(ai.db, { keptDays: 8 });
  const count = async (table: "usage_minutes" | "usage_hours") =>
    (await scene.owner.db.selectFrom(table).select("bucket").where("organization_id", "=", organizationId).execute()).length;
  expect([await count("usage_minutes"), await count("usage_hours")]).toEqual([1, 2]);
});

test("it is grouped by what is asked for, by whoever may see it", async () => {
  const { key, id, organizationId } = await scene.issueKey({ scopes: ["ai:chat", "usage:read"] });
  const organization = uuidOf("organization", organizationId)!;
  const [keyId, otherKey, userId] = [uuidOf("key", id)!, newUuid(), newUuid()];
  await settle([
    rowOf({ organizationId: organization, keyId, model: "dear", cost: 900n }),
    rowOf({ organizationId: organization, keyId, model: "cheap", cost: 5n, outcome: "aborted" }),
    rowOf({ organizationId: organization, keyId: otherKey, userId, model: "cheap", cost: 7n, occurredAt: Date.now() - 3 * hour }),
  ]);
  const person = scene.issuer.token(
    { ...scene.issuer.person(), organizationId: organizationId as `org_${string}` },
    "puaboai-sdk",
  );
  expect((await summary("group_by=model", person)).body).toMatchObject({
    data: [
      { model: "dear", attempts: 1, failed: 0, cost_nanos: "900", input_tokens: 10, cached_input_tokens: 2, output_tokens: 4 },
      { model: "cheap", attempts: 2, failed: 1, cost_nanos: "12" },
    ],
    totals: { attempts: 3, cost_nanos: "912" },
  });
  expect((await summary("group_by=key,user", person)).body.data).toMatchObject([
    { key_id: id, user_id: null, cost_nanos: "905" },
    { key_id: toId("key", otherKey), user_id: toId("user", userId), cost_nanos: "7" },
  ]);
  expect((await summary("group_by=hour", person)).body.data).toHaveLength(2);
  expect((await summary("group_by=minute", key)).body.totals).toMatchObject({ attempts: 2, cost_nanos: "905" });
  expect((await summary("", key)).body).toMatchObject({ data: [{ attempts: 2 }], totals: { attempts: 2 } });
  expect((await summary(`model=cheap&user_id=${toId("user", userId)}`, person)).body.totals).toMatchObject({ attempts: 1 });
  expect((await summary(`group_by=organization&organization_id=${organizationId}`, admin)).body.data).toMatchObject([
    { organization_id: organizationId, cost_nanos: "912" },
  ]);
  const now = new Date();
  const { body } = await summary(`from=${now.toISOString()}&to=${now.toISOString()}`, person);
  expect([Date.parse(body.from) % hour, Date.parse(body.to) - Date.parse(body.from)]).toEqual([0, hour]);
  expect(body.totals.attempts).toBe(2);
  expect((await summary(`organization_id=${newId("organization")}`, person)).status).toBe(404);
  expect((await summary(`key_id=${toId("key", otherKey)}`, key)).status).toBe(404);
});

test.each(["group_by=color", "group_by=model,model", "group_by=hour,day,model,key", "group_by=", "from=yesterday", "user_id=x"])(
  "%s is refused",
  async (query) => {
    expect((await summary(query, admin)).status).toBe(query === "user_id=x" ? 404 : 422);
  },
);
