/** Keys at puabo-api while what decides about them is away. */
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

const read = (key: string) => service.call("GET", "/api/audit/events", { headers: { authorization: `Bearer ${key}` } });

test("pv-keys away: a key is looked up in PostgreSQL", async () => {
  const key = await insertKey();
  const answer = await read(key);
  expect(answer.status).toBe(200);
  expect(answer.json).toMatchObject({ data: [{ action: "setup.completed" }] });
  expect((await read(generateApiKey("sk", "live").key)).status).toBe(401);
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
async function insertKey(): Promise<string> {
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
