import { type EnvField, envFields, secretFields } from "./env-fields.ts";
import { parseEnvFile } from "./parse-env-file.ts";

const heading = {
  example: [
    "# Settings of the deployment. The first ./deploy-pf.sh copies this file to .env.pf and fills in every secret with a fresh",
    "# random value; .env.pf is readable by you alone and never committed. This example holds no secret and never may.",
    "# A setting that is missing or empty has its default; see docs/deployment.md.",
  ],
  fresh: ["# Made by the first deployment. Keep it, and keep a copy in a safe place: the data cannot be read without it."],
};

/** The text of `.env.pf.example`: every name with its sentence, secrets empty. */
export function renderExample(): string {
  return render(heading.example, (field) => (field.kind === "secret" ? "" : field.default));
}

/**
 * The text of a new `.env.pf`: defaults, and fresh random values for the secrets that must be there.
 * @param given values that win over the defaults
 */
export function renderFresh(given: ReadonlyMap<string, string> = new Map()): string {
  const made = (field: EnvField): string => (field.kind === "setting" ? field.default : field.required ? field.make() : "");
  return render(heading.fresh, (field) => given.get(field.name) || made(field));
}

/**
 * The text of an older `.env.pf` with the secrets that came later and are not in it; the rest stays as it is.
 * @returns `undefined` when nothing is missing
 */
export function addLaterSecrets(text: string): string | undefined {
  const { values } = parseEnvFile(text);
  const missing = secretFields.filter(({ name, cameLater }) => cameLater && !values.has(name));
  if (missing.length === 0) return undefined;
  const lines = missing.flatMap((field) => ["", `# ${field.doc}`, `${field.name}=${field.make()}`]);
  return `${text.trimEnd()}\n${lines.join("\n")}\n`;
}

function render(intro: readonly string[], valueOf: (field: EnvField) => string): string {
  const lines = [...intro];
  let group = "";
  for (const field of envFields) {
    if (field.group !== group) lines.push("", `# ${field.group}`);
    ({ group } = field);
    lines.push(`# ${field.doc}`, `${field.name}=${valueOf(field)}`);
  }
  return `${lines.join("\n")}\n`;
}
