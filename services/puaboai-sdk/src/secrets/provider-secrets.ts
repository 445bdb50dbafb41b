import { readFileSync } from "node:fs";
import { ConfigError, type Environment } from "@nexus/config";
import { isPublishedValue } from "@nexus/core";
import type { ProviderSettings } from "../settings/provider-settings.ts";

/**
 * The secret of each provider that has one in a variable or a file, by name.
 * @throws ConfigError naming every variable and file that holds none; never a value
 */
export function readProviderSecrets(providers: readonly ProviderSettings[], environment: Environment): Map<string, string> {
  const faults: string[] = [];
  const secrets = new Map<string, string>();
  for (const { name, secret } of providers) {
    if (!secret || "vault" in secret) continue;
    const where = "env" in secret ? secret.env : secret.file;
    const value = readSecret(secret, environment);
    const detail = faultOfSecret(value);
    if (detail) faults.push(`${where} ${detail}: the API key of the provider ${name} in gateway.yaml`);
    else secrets.set(name, value ?? "");
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return secrets;
}

/** `undefined`: there is none. */
export function readSecret(source: { env: string } | { file: string }, environment: Environment): string | undefined {
  return "env" in source ? environment[source.env] : readKeyFile(source.file);
}

function readKeyFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Why a provider cannot be shown this, without the value. */
export function faultOfSecret(value: string | undefined): string | undefined {
  if (value === undefined || value === "") return "is missing or empty";
  if (!/^[\x21-\x7e]{1,4096}$/.test(value)) return "holds something that cannot stand in a header";
  return isPublishedValue(value) ? "holds a value printed in a public document" : undefined;
}
