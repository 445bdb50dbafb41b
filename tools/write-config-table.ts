/**
 * Writes the tables of docs/configuration.md from the configuration schemas of the services; `--check` compares only.
 * The text between the tables is written by hand.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

/** The part of `Field` in packages/config that a table shows. */
interface Field {
  readonly doc: string;
  readonly fallback: { readonly shown: string } | undefined;
  readonly secret: boolean;
  readonly values?: readonly string[];
}

const root = join(import.meta.dirname, "..");
const page = join(root, "docs/configuration.md");
/** Service → the export of its src/config.ts that holds the schema. */
const schemas = {
  "all-in-one": "configSchema",
  "puabo-api": "configSchema",
  "puaboai-sdk": "configSchema",
  "pv-keys": "configSchema",
  "db-admin": "migrateFields",
} as const;
type Service = keyof typeof schemas;
const services = Object.keys(schemas) as Service[];
/** What so many of them read alike stands once, in a table of its own. */
const manyServices = 3;

async function rowsOf(service: Service): Promise<string[]> {
  const exported = (await import(join(root, "services", service, "src/config.ts"))) as Record<string, Record<string, Field>>;
  const rows = Object.entries(exported[schemas[service]] ?? {}).map(([name, field]) => rowOf(name, field));
  if (rows.length === 0) throw new Error(`services/${service}/src/config.ts exports no field in ${schemas[service]}`);
  return rows;
}

function rowOf(name: string, { doc, fallback, secret, values }: Field): string {
  const names = secret ? `\`${name}\`<br>or \`${name}_FILE\`` : `\`${name}\``;
  const shown = fallback === undefined ? "required" : fallback.shown || "empty";
  return `| ${names} | ${/^(?:required|empty|—)$/.test(shown) ? shown : `\`${cell(shown)}\``} | ${cell(sentence(doc) + choice(doc, values))} |`;
}

/** What the sentence itself has not named yet. */
function choice(doc: string, values: readonly string[] = []): string {
  return values.every((value) => doc.includes(value)) ? "" : ` One of ${values.map((value) => `\`${value}\``).join(", ")}.`;
}

function cell(text: string): string {
  return text.replaceAll("|", String.raw`\|`).replaceAll("\n", " ");
}

function sentence(text: string): string {
  // A value explained by name (`auto: …`) keeps its spelling.
  if (/^\w+:/.test(text)) return text;
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/(?<![.…])$/, ".");
}

/** Mark in the page → table. */
async function tables(): Promise<Map<string, string[]>> {
  const own = new Map(await Promise.all(services.map(async (service) => [service as string, await rowsOf(service)] as const)));
  const all = [...own.values()].flat();
  const shared = new Set(all.filter((row) => all.filter((other) => other === row).length >= manyServices));
  for (const [service, rows] of own)
    own.set(
      service,
      rows.filter((row) => !shared.has(row)),
    );
  return own.set("shared", [...shared]);
}

/** Replaces what stands between the marks of each table. A table without its marks is a fault: it would be missing. */
async function withTables(text: string): Promise<string> {
  let result = text;
  for (const [mark, rows] of await tables()) {
    const [begin, end] = [`<!-- begin ${mark} -->`, `<!-- end ${mark} -->`];
    const [from, to] = [result.indexOf(begin), result.indexOf(end)];
    if (from === -1 || to < from) throw new Error(`docs/configuration.md has no ${begin} … ${end}`);
    const table = ["| variable | default | what it does |", "|---|---|---|", ...rows.toSorted()].join("\n");
    result = `${result.slice(0, from + begin.length)}\n\n${table}\n\n${result.slice(to)}`;
  }
  return result;
}

const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
const present = existsSync(page) ? readFileSync(page, "utf8") : "";
const wanted = await withTables(present);
if (!values.check) writeFileSync(page, wanted);
else if (wanted !== present) {
  console.log("docs/configuration.md is not what the schemas say: run npm run build");
  process.exitCode = 1;
}
