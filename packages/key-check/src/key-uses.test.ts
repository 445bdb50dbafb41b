/** What is counted while nothing can be written, on the real function of PostgreSQL. */
import { systemClock } from "@nexus/core";
import { createTestDatabase, someKeyRecord, type TestDatabase } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { knownKey } from "./key-cache.ts";
import { openKeyUses } from "./key-uses.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

it("a key that is forgotten and asked about again and again is one row, with every use of it", async () => {
  const owner = database.openOwner();
  const uses = openKeyUses({
    db: owner.db,
    clock: systemClock,
    service: "test",
    now: () => Date.now(),
    logger: { warn: () => {} },
  });
  const record = someKeyRecord();
  for (let time = 0; time < 5000; time++) {
    const known = knownKey({ ...record }, 0);
    uses.note(known, "valid");
    if (time % 2 === 0) uses.note(known, "frozen");
  }
  await uses.close();
  const { rows } = await sql`SELECT version, outcome, uses::int AS uses FROM key_uses ORDER BY outcome`.execute(owner.db);
  expect(rows).toEqual([
    { version: 1, outcome: "frozen", uses: 2500 },
    { version: 1, outcome: "valid", uses: 5000 },
  ]);
  const { rows: writers } = await sql`SELECT seq::int AS batches FROM key_use_writers`.execute(owner.db);
  expect(writers).toEqual([{ batches: 1 }]);
});
