/** The secrets of providers that pv-keys keeps: read at start, and again whenever a change is announced. */
import { setTimeout as delay } from "node:timers/promises";
import { toId } from "@nexus/core";
import { openServiceClient } from "@nexus/http";
import type { Verifier } from "@nexus/key-check";
import type { Logger } from "@nexus/telemetry";
import type { Credential } from "../proxy/open-upstream.ts";
import type { ProviderSettings } from "./provider-settings.ts";
import { VaultSecret } from "./vault-secret.ts";

export interface Vault {
  /** Of every provider whose secret is kept there, by the provider's name. */
  readonly credentials: ReadonlyMap<string, Credential>;
  /** From now on changes are heard of. Before the feed starts. */
  follow(feed: Pick<Verifier["feed"], "onChange" | "onReset">): void;
  /** Reads what was not read yet; resolves when each has its first answer, or after two seconds: then calls wait, not the start. */
  start(): Promise<void>;
  /** Names of secrets that providers wait for. */
  missing(): string[];
  close(): Promise<void>;
}

interface Options {
  providers: readonly ProviderSettings[];
  /** pv-keys' private listener. */
  url: string;
  serviceToken: string;
  logger: Logger;
}

const longestStartMs = 2000;

export function openVault({ providers, url, serviceToken, logger }: Options): Vault {
  const pvKeys = openServiceClient({ baseUrl: url, token: serviceToken, connections: 2 });
  const secrets = new Map<string, VaultSecret>();
  const credentials = new Map<string, Credential>();
  for (const { name: provider, secret: source } of providers) {
    if (!source || !("vault" in source)) continue;
    const { vault: name } = source;
    const secret = secrets.get(name) ?? new VaultSecret({ name, pvKeys, logger });
    secrets.set(name, secret);
    credentials.set(provider, () => secret.value);
  }
  const all = [...secrets.values()];
  const asked = new Set<VaultSecret>();
  const refresh = (secret: VaultSecret): void => {
    asked.add(secret);
    secret.refresh();
  };
  return {
    credentials,
    follow: (feed) => {
      feed.onReset(() => all.forEach(refresh));
      feed.onChange(({ kind, subjectId, organizationId }) => {
        // Providers are the installation's; what an organization keeps is not for them.
        if (kind !== "secret" || organizationId !== null) return;
        const id = toId("secret", subjectId);
        // One that is not there yet may be the one that was just made.
        for (const secret of all) if (secret.id === undefined || secret.id === id) refresh(secret);
      });
    },
    start: async () => {
      for (const secret of all) if (!asked.has(secret)) refresh(secret);
      const giveUp = new AbortController();
      await Promise.race([
        Promise.all(all.map(({ firstAnswer }) => firstAnswer)),
        delay(longestStartMs, undefined, { signal: giveUp.signal }).catch(() => {}),
      ]);
      giveUp.abort();
    },
    missing: () => all.filter(({ value }) => value === undefined).map(({ name }) => name),
    close: async () => {
      await Promise.all(all.map((secret) => secret.close()));
      await pvKeys.close();
    },
  };
}
