/** Keys at puabo-api: what a decision costs, how soon it changes, and what is left while those who know of keys are away. */
import { randomBytes } from "node:crypto";
import { generateApiKey, newUuid } from "@nexus/core";
import { keyDigest, storedHash } from "@nexus/key-check";
import { waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSurroundings, setUp, startTestService, type Surroundings, type TestService } from "../start-test-service.test.ts";

const pepper = randomBytes(32).toString("base64url");
let surroundings: Surroundings;
let service: TestService;

beforeAll(async () => {
  // Nobody listens there: pv-keys is away from the start.
  surroundings = await openSurroundings({ NEXUS_KEY_PEPPERS: `1:${pepper}`, PV_KEYS_INTERNAL_URL: "http://127.0.0.1:9" });
  service = await startTestService(surroundings);
  await setUp(service);
});
afterAll(async () => {
  await service.close();
  await surroundings.close();
});

/** How long a verifier may go by what it knew, ms. */
const leaseMs = 1500;

const read = (key: string) => service.call("GET", "/api/audit/events", { headers: { authorization: `Bearer ${key}` } });

test("pv-keys away: a key is looked up in PostgreSQL", async () => {
  const key = await insertKey();
  const answer = await read(key);
  expect(answer.status).toBe(200);
  expect(answer.json).toMatchObject({ data: [{ action: "setup.completed" }] });
  expect((await read(generateApiKey("sk", "live").key)).status).toBe(401);
});

test("a key that is known costs no SQL: its reads go on while the tables of keys are locked", async () => {
  const [known, unknown] = [await insertKey(), await insertKey()];
  expect((await read(known)).status).toBe(200);
  const { db } = surroundings.database.openOwner();
  await db.transaction().execute(async (tx) => {
    await sql`LOCK TABLE api_keys, api_key_versions IN ACCESS EXCLUSIVE MODE`.execute(tx);
    for (let again = 0; again < 20; again++) expect((await read(known)).status).toBe(200);
    // The lock does hold: whoever has to look waits for it in vain.
    expect((await read(unknown)).status).toBe(503);
  });
  await waitFor(async () => (await read(unknown)).status === 200);
});

test.each(["disabled", "revoked"] as const)("%s, and nobody announced it: refused before a lease has run out", async (state) => {
  const key = await insertKey();
  expect((await read(key)).status).toBe(200);
  await changeKey(key, state);
  const changedAt = performance.now();
  await waitFor(async () => (await read(key)).status === 401);
  expect(performance.now() - changedAt).toBeLessThan(leaseMs);
});

test("a key is refused from the moment it expires", async () => {
  const expiresAt = Date.now() + 1500;
  const key = await insertKey({ expires_at: new Date(expiresAt) });
  expect((await read(key)).status).toBe(200);
  await waitFor(async () => (await read(key)).status === 401);
  expect(Date.now()).toBeGreaterThanOrEqual(expiresAt - 50);
  expect(Date.now()).toBeLessThan(expiresAt + 500);
});

test("PostgreSQL away as well: 503 and never 401, for an unknown key and for one that was known", async () => {
  const key = await insertKey();
  expect((await read(key)).status).toBe(200);
  await surroundings.postgres.set("shut");
  for (const one of [key, generateApiKey("sk", "live").key]) {
    const answer = await read(one);
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toMatch(/^\d+$/);
  }
  await surroundings.postgres.set("open");
  await waitFor(async () => (await read(key)).status === 200);
});

/** A key of the administrator's organization, as pv-keys would have made it. */
async function insertKey(more: { expires_at?: Date } = {}): Promise<string> {
  const { key, displayPrefix } = generateApiKey("sk", "live");
  const { db } = surroundings.database.openOwner();
  const person = await db.selectFrom("members").selectAll().executeTakeFirstOrThrow();
  const id = newUuid();
  await db
    .insertInto("api_keys")
    .values({
      id,
      organization_id: person.organization_id,
      owner_kind: "user",
      owner_user_id: person.user_id,
      name: "reader",
      kind: "sk",
      environment: "live",
      scopes: ["audit:read"],
      rev: 0n,
      ...more,
    })
    .execute();
  const hash = storedHash(keyDigest(key), pepper);
  await db
    .insertInto("api_key_versions")
    .values({ key_id: id, version: 1, hash, pepper_version: 1, display_prefix: displayPrefix })
    .execute();
  await sql`SELECT record_change('key', ${id}::uuid, ${person.organization_id}::uuid)`.execute(db);
  return key;
}

/** As a writer whose word to Redis was lost: only the feed in PostgreSQL tells. */
async function changeKey(key: string, state: "disabled" | "revoked"): Promise<void> {
  const { db } = surroundings.database.openOwner();
  await db.transaction().execute(async (tx) => {
    const hash = storedHash(keyDigest(key), pepper);
    const { key_id: id } = await tx
      .selectFrom("api_key_versions")
      .select("key_id")
      .where("hash", "=", hash)
      .executeTakeFirstOrThrow();
    const { organization_id: organizationId } = await tx
      .updateTable("api_keys")
      .set({ state, revoked_at: state === "revoked" ? new Date() : null })
      .where("id", "=", id)
      .returning("organization_id")
      .executeTakeFirstOrThrow();
    await sql`SELECT record_change('key', ${id}::uuid, ${organizationId}::uuid)`.execute(tx);
  });
}
