/**
 * Writes `database/schema.sql`: the migrations in their order and the history that the runner would have kept, so that
 * `psql -f database/schema.sql` makes the same database and a later migration goes on from there. With `--check` it only
 * compares.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const root = new URL("../", import.meta.url);
const target = new URL("database/schema.sql", root);

const header = `-- Written by tools/write-schema.ts from migrations/; do not edit. The platform itself runs the migrations (npm run migrate).
-- For an empty database, in which the roles nexus_api, nexus_ai and nexus_keys exist: psql -v ON_ERROR_STOP=1 -f schema.sql
BEGIN;
SET LOCAL search_path = public;
`;

const history = `CREATE TABLE schema_migrations (
  name text PRIMARY KEY,
  checksum text NOT NULL,
  applied_at timestamptz(3) NOT NULL DEFAULT now(),
  duration_ms integer NOT NULL
);
GRANT SELECT ON schema_migrations TO nexus_api, nexus_ai, nexus_keys;
`;

function schema(): string {
  const directory = new URL("migrations/", root);
  const names = readdirSync(directory)
    .filter((name) => name.endsWith(".sql"))
    .toSorted();
  const files = names.map((name) => ({ name, bytes: readFileSync(new URL(name, directory)) }));
  const bodies = files.map(({ name, bytes }) => `-- ${name}\n${bytes.toString("utf8").trimEnd()}\n`);
  const rows = files.map(({ name, bytes }) => `  ('${name}', '${createHash("sha256").update(bytes).digest("hex")}', 0)`);
  const applied = `INSERT INTO schema_migrations (name, checksum, duration_ms) VALUES\n${rows.join(",\n")};\n`;
  return [header, ...bodies, history, applied, "COMMIT;\n"].join("\n");
}

function current(): string | undefined {
  try {
    return readFileSync(target, "utf8");
  } catch {
    return undefined;
  }
}

const wanted = schema();
if (process.argv.includes("--check")) {
  if (current() !== wanted) {
    console.error("database/schema.sql is not what migrations/ says; run npm run build");
    process.exitCode = 1;
  }
} else {
  mkdirSync(new URL(".", target), { recursive: true });
  writeFileSync(target, wanted);
}
