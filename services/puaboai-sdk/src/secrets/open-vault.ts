/** The secrets of providers that pv-keys keeps: read at start, and again whenever a change is announced. */
import { toId } from "@nexus/core";
import { openServiceClient } from "@nexus/http";
import type { Verifier } from "@nexus/key-check";
import type { Logger } from "@nexus/telemetry";
import type { Credential } from "../proxy/open-upstream.ts";
import { atMost } from "../refresh/at-most.ts";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import { VaultSecret } from "./vault-secret.ts";

export interface Vault {
  /** Of every one of these providers whose secret is kept there, by the provider's name. What is new is read from now on. */
  use(providers: readonly ProviderSettings[]): ReadonlyMap<string, Credential>;
  /** Secrets that none of these providers wants are read no more; those who hold them keep what is known. */
  keepOnly(providers: readonly ProviderSettings[]): void;
  /** Some provider's secret is kept there. */
  isUsed(): boolean;
  /** From now on changes are heard of. Before the feed starts. */
  follow(feed: Pick<Verifier["feed"], "onChange" | "onReset">): void;
  /** Reads what was not read yet; resolves when each has its first answer, or after two seconds: then calls wait, not the start. */
  start(): Promise<void>;
  /** Names of secrets that providers wait for. */
  missing(): string[];
  close(): Promise<void>;
}

interface Options {
  /** pv-keys' private listener. */
  url: string;
  serviceToken: string;
  logger: Logger;
}

const longestStartMs = 2000;

export function openVault({ url, serviceToken, logger }: Options): Vault {
  const pvKeys = openServiceClient({ baseUrl: url, token: serviceToken, connections: 2 });
  const secrets = new Map<string, VaultSecret>();
  const asked = new Set<VaultSecret>();
  let isStarted = false;
  const all = (): VaultSecret[] => [...secrets.values()];
  const refresh = (secret: VaultSecret): void => {
    asked.add(secret);
    secret.refresh();
  };
  const secretOf = (name: string): VaultSecret => {
    const known = secrets.get(name);
    if (known) return known;
    const secret = new VaultSecret({ name, pvKeys, logger });
    secrets.set(name, secret);
    // Before the start nobody knows yet whether pv-keys is there.
    if (isStarted) refresh(secret);
    return secret;
  };
  return {
    use: (providers) => new Map(named(providers).map(([provider, name]) => [provider, credentialOf(secretOf(name))])),
    keepOnly: (providers) => {
      const wanted = new Set(named(providers).map(([, name]) => name));
      for (const secret of all()) {
        if (wanted.has(secret.name)) continue;
        secrets.delete(secret.name);
        void secret.close();
      }
    },
    isUsed: () => secrets.size > 0,
    follow: (feed) => {
      feed.onReset(() => all().forEach(refresh));
      feed.onChange(({ kind, subjectId, organizationId }) => {
        // Providers are the installation's; what an organization keeps is not for them.
        if (kind !== "secret" || organizationId !== null) return;
        const id = toId("secret", subjectId);
        // One that is not there yet may be the one that was just made.
        for (const secret of all()) if (secret.id === undefined || secret.id === id) refresh(secret);
      });
    },
    start: async () => {
      isStarted = true;
      for (const secret of all()) if (!asked.has(secret)) refresh(secret);
      await atMost(longestStartMs, Promise.all(all().map(({ firstAnswer }) => firstAnswer)));
    },
    missing: () =>
      all()
        .filter(({ value }) => value === undefined)
        .map(({ name }) => name),
    close: async () => {
      await Promise.all(all().map((secret) => secret.close()));
      await pvKeys.close();
    },
  };
}

function credentialOf(secret: VaultSecret): Credential {
  return () => secret.value;
}

/** Of each provider whose secret pv-keys keeps, its name and the secret's. */
function named(providers: readonly ProviderSettings[]): [provider: string, secret: string][] {
  return providers.flatMap(({ name, secret }) => (secret && "vault" in secret ? [[name, secret.vault]] : []));
}
