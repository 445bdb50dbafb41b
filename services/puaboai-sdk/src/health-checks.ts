/** What the gateway needs: `GET /health`, and through it the module `ai` of puabo-api. */
import { Degraded, type HealthCheck } from "@nexus/http";
import type { Metrics } from "@nexus/telemetry";
import type { LiveConfiguration } from "./configuration/live-configuration.ts";
import type { Deps } from "./deps.ts";
import type { Upstream } from "./proxy/open-upstream.ts";
import type { ProviderHealth } from "./proxy/provider-health.ts";
import type { Vault } from "./secrets/open-vault.ts";

/** Without PostgreSQL only free models and known keys go on, for a while; without the others part of the callers is served. */
export function healthChecks(deps: Deps): HealthCheck[] {
  return [
    { name: "postgresql:connection", critical: true, probe: (signal) => deps.database.ping(signal) },
    { name: "spool:writable", critical: true, probe: () => deps.usage.probeSpool() },
    ...(deps.redis ? [redisCheck(deps.redis)] : []),
    { name: "pv-keys:livez", critical: false, probe: (signal) => probe(`${deps.config.PV_KEYS_INTERNAL_URL}/livez`, signal) },
    ...(deps.vault.isUsed() ? [vaultCheck(deps.vault)] : []),
    configurationCheck(deps.configuration),
    ...upstreamsOf(deps.configuration).map((upstream) => providerCheck(upstream)),
    { name: "puabo-api:livez", critical: false, probe: (signal) => probe(`${deps.config.PUABO_API_URL}/livez`, signal) },
  ];
}

export function measureProviders(metrics: Metrics, configuration: LiveConfiguration): void {
  metrics.gauge({
    name: "nexus_gateway_provider_open",
    help: "1 while a provider is left alone because it kept failing",
    labelNames: ["provider"],
    collect() {
      this.reset();
      for (const { settings, isOpen } of upstreamsOf(configuration)) this.set({ provider: settings.name }, Number(isOpen()));
    },
  });
}

function upstreamsOf({ current }: LiveConfiguration): Upstream[] {
  return [...current.offer.upstreams.values()].map(({ upstream }) => upstream);
}

/** Its providers answer 503 until it is there. */
function vaultCheck(vault: Vault): HealthCheck {
  return {
    name: "provider-secrets:known",
    critical: false,
    probe: async () => {
      const missing = vault.missing();
      if (missing.length > 0) throw new Error(`not read yet: ${missing.join(", ")}`);
    },
  };
}

/** The one that the operator wrote last, and all of it. What is wrong with it is for administrators: `GET /v1/admin/configuration`. */
function configurationCheck(configuration: LiveConfiguration): HealthCheck {
  return {
    name: "configuration:current",
    critical: false,
    probe: async () => {
      const { refused, current } = configuration;
      if (refused)
        throw new Degraded(`the newest file is refused (faults: ${refused.faults.length}); the one before it is in force`);
      const { length } = current.setAside;
      if (length > 0) throw new Degraded(`entries that were set by API and do not count: ${length}`);
    },
  };
}

/** As its last calls showed it: nobody is asked for this. One that keeps failing is left alone; models of others go on. */
function providerCheck({ settings, health }: Upstream): HealthCheck {
  return {
    name: `provider:${settings.name}`,
    critical: false,
    probe: async () => {
      const now = health();
      if (now.state === "open" || now.state === "refusing") throw new Degraded(inWords(now));
      return inWords(now);
    },
  };
}

function inWords({ state, lastError, lastErrorAgeMs, lastSuccessAgeMs }: ProviderHealth): string {
  const ago = (ms: number): string => `${Math.round(ms / 1000)} s ago`;
  return [
    state,
    lastSuccessAgeMs === undefined ? undefined : `last success ${ago(lastSuccessAgeMs)}`,
    lastError === undefined ? undefined : `last error ${lastError} ${ago(lastErrorAgeMs ?? 0)}`,
  ]
    .filter((part) => part !== undefined)
    .join(", ");
}

function redisCheck({ cache }: NonNullable<Deps["redis"]>): HealthCheck {
  return { name: "redis:connection", critical: false, probe: (signal) => cache.ping(signal) };
}

async function probe(url: string, signal: AbortSignal): Promise<void> {
  const answer = await fetch(url, { signal, redirect: "error" });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
}
