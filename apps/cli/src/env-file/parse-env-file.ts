/** What a file of `NAME=value` lines says, with everything that is wrong with it. */
export interface EnvFile {
  readonly values: ReadonlyMap<string, string>;
  /** Sentences that name a line or a variable and never hold a value. */
  readonly faults: readonly string[];
}

/** The form that `docker compose --env-file` reads too: comments, single or double quotes, no `export`, no continuation lines. */
export function parseEnvFile(text: string): EnvFile {
  const values = new Map<string, string>();
  const faults: string[] = [];
  text.split(/\r?\n/).forEach((line, index) => {
    if (/^\s*(#.*)?$/.test(line)) return;
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line.trim());
    const [, name = "", raw = ""] = match ?? [];
    const value = match ? unquote(raw) : undefined;
    if (!match) faults.push(`line ${index + 1} is not NAME=value`);
    else if (value === undefined) faults.push(`${name} (line ${index + 1}) has an opening quote and no closing one`);
    else if (values.has(name)) faults.push(`${name} is set twice (line ${index + 1})`);
    else values.set(name, value);
  });
  return { values, faults };
}

/** An unquoted value ends at ` #`; inside quotes everything counts. */
function unquote(raw: string): string | undefined {
  const quote = raw.charAt(0);
  if (quote !== '"' && quote !== "'") return raw.replace(/\s+#.*$/, "").trim();
  const end = raw.indexOf(quote, 1);
  return end === -1 || !/^\s*(#.*)?$/.test(raw.slice(end + 1)) ? undefined : raw.slice(1, end);
}
