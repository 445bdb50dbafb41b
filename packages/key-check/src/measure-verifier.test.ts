/** What /metrics tells of a verifier, on the real change feed. */
import { generateApiKey, newUuid, systemClock } from "@nexus/core";
import { createMetrics } from "@nexus/telemetry";
import { createTestDatabase, recordTestChange, type TestDatabase, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Found } from "./key-source.ts";
import { measureVerifier } from "./measure-verifier.ts";
import { openVerifier, type Verifier } from "./open-verifier.ts";

let database: TestDatabase;
let verifier: Verifier;

async function nothing(): Promise<Found> {
  const { generation, rev } = await database.openOwner().db.selectFrom("change_counter").selectAll().executeTakeFirstOrThrow();
  return { record: null, generation, asOf: Number(rev) };
}

beforeAll(async () => {
  database = await createTestDatabase();
  verifier = openVerifier({
    connection: database.keys,
    redis: undefined,
    db: database.openOwner().db,
    source: { find: nothing, close: () => Promise.resolve() },
    clock: systemClock,
    logger: { info: () => {}, warn: () => {} },
    service: "test",
    port: 1,
    blindSeconds: 0,
  });
});
afterAll(async () => {
  await verifier.close();
  await database.drop();
});

it("says how far the feed is followed, and what was answered by whom, without naming any key", async () => {
  const metrics = createMetrics({ service: "test" });
  measureVerifier(metrics, verifier);
  const value = async (line: string): Promise<number> => {
    const text = await metrics.registry.metrics();
    const found = text.split("\n").find((one) => one.startsWith(line));
    return Number(found?.slice(found.lastIndexOf(" ")).replace("+Inf", "Infinity"));
  };
  expect(await value("nexus_change_feed_sighted")).toBe(0);
  expect(await value("nexus_change_feed_blind_seconds")).toBe(Infinity);
  await verifier.start();
  await waitFor(() => verifier.feed.lease.isSighted());
  expect(await value("nexus_change_feed_sighted")).toBe(1);
  expect(await value("nexus_change_feed_blind_seconds")).toBe(0);
  expect(await value("nexus_change_feed_verifiers")).toBe(1);
  const rev = await recordTestChange(database.openOwner(), "key", newUuid());
  await waitFor(async () => (await value("nexus_change_feed_position")) === rev);

  const { key } = generateApiKey("sk", "live");
  await verifier.checker.check(key);
  await verifier.checker.check(key);
  verifier.checker.known("no key at all");
  expect(await value('nexus_key_questions_total{result="answered"')).toBe(1);
  expect(await value('nexus_key_answers_total{answer="not_found"')).toBe(2);
  expect(await value('nexus_key_cache_entries{kind="unknown"')).toBe(1);
  expect(await metrics.registry.metrics()).not.toContain(key.slice(0, 20));
});
