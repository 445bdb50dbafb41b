import type { Environment } from "@nexus/config";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import { readSecrets } from "./read-secrets.ts";

/**
 * The secret of each provider that has one in a variable or a file, by name.
 * @throws ConfigError naming every variable and file that holds none; never a value
 */
export function readProviderSecrets(providers: readonly ProviderSettings[], environment: Environment): Map<string, string> {
  const wanted = providers.flatMap(({ name, secret }) =>
    secret && !("vault" in secret) ? [{ name, source: secret, what: `the API key of the provider ${name}` }] : [],
  );
  return readSecrets(wanted, environment);
}
