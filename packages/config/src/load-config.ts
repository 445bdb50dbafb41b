import { type Field, readSecretFile } from "./fields.ts";

/** Environment variable name → field. */
export type ConfigSchema = Readonly<Record<string, Field<unknown>>>;
export type Config<S extends ConfigSchema> = { readonly [Name in keyof S]: S[Name] extends Field<infer T> ? T : never };
export type Environment = Readonly<Record<string, string | undefined>>;

/** Every fault of a configuration at once; `faults` are sentences that name the variable and never hold a secret's value. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(
      `the configuration has ${faults.length} fault${faults.length === 1 ? "" : "s"}:\n${faults.map((f) => `  ${f}`).join("\n")}`,
    );
    this.name = "ConfigError";
    this.faults = faults;
  }
}

/**
 * Reads a typed, frozen configuration out of an environment.
 * An empty variable counts as absent. `rules` see the values and add faults that concern several fields;
 * a faulty field shows them its default, and rules that read a faulty field without one are left out.
 * @throws ConfigError naming every faulty variable
 */
export function loadConfig<S extends ConfigSchema>(
  schema: S,
  env: Environment,
  rules: (config: Config<S>) => readonly string[] = () => [],
): Config<S> {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(schema)) {
    try {
      values[name] = readField(name, field, env);
    } catch (fault) {
      faults.push(`${name} ${(fault as Error).message}`);
    }
  }
  faults.push(...faultsAmong(schema, values, rules));
  if (faults.length > 0) throw new ConfigError([...new Set(faults)]);
  return Object.freeze(values) as Config<S>;
}

const unreadable = new Error("a faulty field without a default");

function faultsAmong<S extends ConfigSchema>(
  schema: S,
  values: Record<string, unknown>,
  rules: (config: Config<S>) => readonly string[],
): readonly string[] {
  const seen = new Proxy(values, {
    get(target, name: string) {
      if (Object.hasOwn(target, name)) return target[name];
      const fallback = schema[name]?.fallback;
      if (!fallback) throw unreadable;
      return fallback.value;
    },
  });
  try {
    return rules(seen as Config<S>);
  } catch (error) {
    if (error === unreadable) return [];
    throw error;
  }
}

function readField(name: string, field: Field<unknown>, env: Environment): unknown {
  const direct = env[name] || undefined;
  const file = field.secret ? env[`${name}_FILE`] || undefined : undefined;
  if (direct !== undefined && file !== undefined) throw new Error(`and ${name}_FILE are both set; keep one`);
  const raw = file === undefined ? direct : readNamedFile(name, file);
  if (raw !== undefined) return field.parse(raw);
  if (field.fallback) return field.fallback.value;
  throw new Error(field.secret ? `is required (or ${name}_FILE): ${field.doc}` : `is required: ${field.doc}`);
}

function readNamedFile(name: string, path: string): string {
  try {
    return readSecretFile(path);
  } catch (cause) {
    throw new Error(`cannot be taken from ${name}_FILE=${path}: it ${(cause as Error).message}`, { cause });
  }
}
