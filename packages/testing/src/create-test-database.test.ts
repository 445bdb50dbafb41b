import { openDatabase } from "@nexus/db";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "./create-test-database.ts";

let one: TestDatabase;
let two: TestDatabase;
beforeAll(async () => {
  [one, two] = await Promise.all([createTestDatabase(), createTestDatabase()]);
});
afterAll(async () => {
  await Promise.all([one.drop(), two.drop()]);
});

test("two test databases share nothing", async () => {
  await one
    .openOwner()
    .db.insertInto("organizations")
    .values({ id: "018f0000-0000-7000-8000-000000000001", name: "x" })
    .execute();
  expect(await two.openOwner().db.selectFrom("organizations").selectAll().execute()).toEqual([]);
});

test("a test database is migrated and its roles can log in", async () => {
  for (const connection of [one.owner, one.api, one.ai, one.keys]) {
    const database = openDatabase(connection, { applicationName: "test", poolSize: 1 });
    await database.ping();
    expect(await database.pendingMigrations()).toEqual([]);
    await database.close();
  }
});
