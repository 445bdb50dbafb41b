import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createTestDatabase } from "@nexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Connection } from "./connection.ts";
import { migrate, migrationStatus } from "./migrate.ts";
import { executeStatements, withClient } from "./with-client.ts";

const root = new URL("../../../", import.meta.url);

/** All that makes up a schema, as text: tables, columns, constraints, indexes, triggers, functions, rights, partitions. */
const catalogue = `
  SELECT 'relation ' || c.relname || ' ' || c.relkind::text || ' ' || coalesce(pg_get_expr(c.relpartbound, c.oid), '')
    || ' ' || coalesce((SELECT string_agg(acl::text, ' ' ORDER BY acl::text) FROM unnest(c.relacl) acl), '') AS line
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'column ' || a.attrelid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
    || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT 'constraint ' || conrelid::regclass || '.' || conname || ' ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) || ' ' || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'function ' || pg_get_functiondef(oid) || ' ' || coalesce((SELECT string_agg(acl::text, ' ' ORDER BY acl::text) FROM unnest(proacl) acl), '')
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT 'schema ' || coalesce((SELECT string_agg(acl::text, ' ' ORDER BY acl::text) FROM unnest(nspacl) acl), '')
  FROM pg_namespace WHERE nspname = 'public'
  UNION ALL SELECT 'module ' || name || ' ' || title FROM modules
  UNION ALL SELECT 'partitioned ' || table_name || ' ' || append_only FROM partitioned_tables
  UNION ALL SELECT 'migration ' || name || ' ' || checksum FROM schema_migrations
  ORDER BY 1`;

const describe = async (connection: Connection): Promise<string[]> =>
  await withClient(connection, "test", async (client) =>
    (await client.query<{ line: string }>(catalogue)).rows.map((row) => row.line),
  );

let migrated: Awaited<ReturnType<typeof createTestDatabase>>;
let loaded: Awaited<ReturnType<typeof createTestDatabase>>;
beforeAll(async () => {
  [migrated, loaded] = await Promise.all([createTestDatabase(), createTestDatabase({ empty: true })]);
});
afterAll(async () => await Promise.all([migrated.drop(), loaded.drop()]));

test("database/schema.sql makes exactly what the migrations make, and the runner goes on from there", async () => {
  const text = await readFile(new URL("database/schema.sql", root), "utf8");
  await executeStatements(loaded.owner, "test", [text]);
  const [expected, found] = await Promise.all([describe(migrated.owner), describe(loaded.owner)]);
  expect(expected.length).toBeGreaterThan(300);
  expect(found).toEqual(expected);
  expect(await migrationStatus(loaded.owner)).toMatchObject({ pending: [], drift: [] });
  expect((await migrate(loaded.owner)).applied).toEqual([]);
});

test("database/schema.sql is what its generator writes", async () => {
  const script = fileURLToPath(new URL("tools/write-schema.ts", root));
  await promisify(execFile)(process.execPath, [script, "--check"]);
});
