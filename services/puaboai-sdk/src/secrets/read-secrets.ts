import { readFileSync } from "node:fs";
import { ConfigError, type Environment } from "@nexus/config";
import { isPublishedValue } from "@nexus/core";

/** Where gateway.yaml says that a secret is. */
export type SecretSource = { env: string } | { file: string };

interface WantedSecret {
  /** By which it is found in what is returned. */
  name: string;
  source: SecretSource;
  /** Whose it is, for the operator: `the API key of the provider main`. */
  what: string;
}

/** @throws ConfigError naming every variable and file that holds none that can be used; never a value */
export function readSecrets(
  wanted: readonly WantedSecret[],
  environment: Environment,
  faultOf: typeof faultOfSecret = faultOfSecret,
): Map<string, string> {
  const faults: string[] = [];
  const secrets = new Map<string, string>();
  for (const { name, source, what } of wanted) {
    const value = readSecret(source, environment);
    const fault = faultOf(value);
    if (fault !== undefined) faults.push(`${"env" in source ? source.env : source.file} ${fault}: ${what} in gateway.yaml`);
    else secrets.set(name, value ?? "");
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return secrets;
}

/** `undefined`: there is none. */
export function readSecret(source: SecretSource, environment: Environment): string | undefined {
  return "env" in source ? environment[source.env] : readSecretFile(source.file);
}

function readSecretFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Why nobody can be shown this, without the value. */
export function faultOfSecret(value: string | undefined): string | undefined {
  if (value === undefined || value === "") return "is missing or empty";
  if (!/^[\x21-\x7e]{1,4096}$/.test(value)) return "holds something that cannot stand in a header";
  return isPublishedValue(value) ? "holds a value printed in a public document" : undefined;
}
