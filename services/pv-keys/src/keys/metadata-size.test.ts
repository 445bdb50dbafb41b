import { createTestDatabase } from "@nexus/testing";
import { sql } from "kysely";
import { expect, it } from "vitest";
import { storedJsonBytes } from "./metadata-size.ts";

const values: unknown[] = [
  {},
  [],
  { a: 1, b: [true, false, null], c: { d: "e" } },
  { text: 'quotes " and \\ and \n\t\b\f\r and \u0001 and \u007f', ключ: "значение 😀" },
  [1e300, -1e300, 1e21, 1.5e-7, 5e-324, 0.1, -0, 123456789012345680000],
  Array.from({ length: 100 }, (_, i) => ({ [`k${i}`]: i })),
];

it("counts at least what PostgreSQL writes, and hardly more", async () => {
  const database = await createTestDatabase();
  const { db } = database.openOwner();
  for (const value of values) {
    const { rows } = await sql<{ bytes: number }>`SELECT octet_length((${JSON.stringify(value)}::jsonb)::text) AS bytes`.execute(
      db,
    );
    const counted = storedJsonBytes(value)!;
    expect(counted).toBeGreaterThanOrEqual(rows[0]!.bytes);
    expect(counted).toBeLessThanOrEqual(rows[0]!.bytes + 40);
  }
  await database.drop();
});

it("has no size for what PostgreSQL cannot hold", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 30_000; i++) deep = [deep];
  expect(storedJsonBytes(deep)).toBeUndefined();
  expect(storedJsonBytes({ a: "\ud800" })).toBeUndefined();
  expect(storedJsonBytes({ "\udc00": 1 })).toBeUndefined();
  expect(storedJsonBytes(JSON.parse('{"a":[1e400]}'))).toBeUndefined();
  expect(storedJsonBytes(JSON.parse('{"a":-1e400}'))).toBeUndefined();
});
