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
}

const root = join(import.meta.dirname, "..");
const page = join(root, "docs/configuration.md");
const services = ["all-in-one", "puabo-api", "puaboai-sdk", "pv-keys", "db-admin"];

async function tableOf(service: string): Promise<string> {
  const { configSchema } = (await import(join(root, "services", service, "src/config.ts"))) as {
    configSchema: Record<string, Field>;
  };
  const rows = Object.entries(configSchema).map(([name, { doc, fallback, secret }]) => {
    const shown = fallback === undefined ? "required" : fallback.shown === "" ? "empty" : fallback.shown;
    return `| \`${name}\`${secret ? `<br>or \`${name}_FILE\`` : ""} | ${cell(/^(?:required|empty|—)$/.test(shown) ? shown : `\`${shown}\``)} | ${cell(doc)} |`;
  });
  if (rows.length === 0) throw new Error(`services/${service}/src/config.ts has no field`);
  return ["| variable | default | what it does |", "|---|---|---|", ...rows.toSorted()].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", String.raw`\|`).replaceAll("\n", " ");
}

/** Replaces what stands between the marks of each service. A service without its marks is a fault: its table would be missing. */
async function withTables(text: string): Promise<string> {
  let result = text;
  for (const service of services) {
    const [begin, end] = [`<!-- begin ${service} -->`, `<!-- end ${service} -->`];
    const [from, to] = [result.indexOf(begin), result.indexOf(end)];
    if (from === -1 || to < from) throw new Error(`docs/configuration.md has no ${begin} … ${end}`);
    result = `${result.slice(0, from + begin.length)}\n${await tableOf(service)}\n${result.slice(to)}`;
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
