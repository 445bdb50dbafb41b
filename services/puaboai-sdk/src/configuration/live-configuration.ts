import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { Environment } from "@nexus/config";
import type { Clock } from "@nexus/core";
import type { Logger, Metrics } from "@nexus/telemetry";
import type { CallGate } from "../calls/call-gate.ts";
import type { CallHooks } from "../calls/call-hooks.ts";
import { type Offer, openOffer, type ProviderCredential } from "../catalogue/open-offer.ts";
import type { LocalModels } from "../local-model.ts";
import type { LocalServer } from "../providers/discover-local-servers.ts";
import { oneAtATime } from "../refresh/one-at-a-time.ts";
import type { Vault } from "../secrets/open-vault.ts";
import { faultOfSecret, readSecret } from "../secrets/read-secrets.ts";
import { type GatewaySettings, readGatewaySettings, type ReadTools, RefusedSettings } from "../settings/gateway-settings.ts";
import type { SettingsFault } from "../settings/yaml-fields.ts";
import type { Entry, SetAside } from "./entry.ts";
import { mergeSettings } from "./merge-settings.ts";

/** What calls see, from their begin to their end. */
export interface Generation {
  settings: GatewaySettings;
  offer: Offer;
  /** `undefined`: nothing is around calls. */
  hooks: CallHooks | undefined;
  setAside: readonly SetAside[];
}

export interface Refusal {
  at: Date;
  fileName: string;
  faults: readonly SettingsFault[];
}

export interface LiveNeeds {
  /** As read at start. */
  file: GatewaySettings;
  /** Where the keys of providers are looked up. */
  environment: Environment;
  vault: Pick<Vault, "use" | "keepOnly" | "start">;
  embedded: LocalModels;
  found: readonly LocalServer[];
  gate: Pick<CallGate, "passed">;
  openHooks: (settings: GatewaySettings) => CallHooks | undefined;
  clock: Clock;
  logger: Pick<Logger, "info" | "warn" | "error">;
  metrics: Metrics;
}

/**
 * The configuration in force: gateway.yaml and what was set by API. It is replaced as a whole between two calls; calls that are
 * under way go on with the one that they began with, whose connections are closed when the last of them has ended.
 */
export class LiveConfiguration {
  readonly #needs: LiveNeeds;
  readonly #tools: ReadTools;
  readonly #reloads: ReturnType<typeof measureReloads>;
  #file: GatewaySettings;
  #entries: readonly Entry[] = [];
  #current: Generation;
  readonly #inTurn = oneAtATime();
  readonly #listeners: (() => void)[] = [];
  /** Replaced, and still used by calls. */
  readonly #retiring = new Set<Generation>();
  /** Why the newest file is not the one in force. */
  refused: Refusal | undefined;
  /** When the file in force was read. */
  loadedAt: Date;

  constructor(needs: LiveNeeds) {
    this.#needs = needs;
    this.#file = needs.file;
    this.#tools = { faultOfSecret: (source) => faultOfSecret(readSecret(source, needs.environment)) };
    this.#current = this.#open(needs.file, []);
    this.loadedAt = new Date(needs.clock.now());
    this.#reloads = measureReloads(needs.metrics, () => this.refused !== undefined);
  }

  get current(): Generation {
    return this.#current;
  }

  get file(): GatewaySettings {
    return this.#file;
  }

  get tools(): ReadTools {
    return this.#tools;
  }

  /** Called before the first call can meet what is new. */
  onReplaced(hear: () => void): void {
    this.#listeners.push(hear);
  }

  /** Reads the file again. Returns what was refused; then everything stays as it was. */
  async reloadFile(): Promise<Refusal | undefined> {
    return await this.#inTurn(async () => {
      const { path, providers, models } = this.#file;
      if (path === undefined) return undefined;
      const tools = { ...this.#tools, refusesNothing: providers.length + models.length > 0 };
      try {
        const file = { ...readGatewaySettings(path, tools), path };
        await this.#replace(file, this.#entries);
      } catch (error) {
        return this.#refuse(path, error);
      }
      this.refused = undefined;
      this.#reloads.inc({ result: "applied" });
      this.loadedAt = new Date(this.#needs.clock.now());
      this.#needs.logger.info({ event: "configuration", result: "applied" }, "gateway.yaml was read again");
      return undefined;
    });
  }

  /** Takes what is set by API. @param read is called when it is this one's turn, so that the newest wins */
  async takeEntries(read: () => Promise<readonly Entry[]>): Promise<void> {
    await this.#inTurn(async () => {
      const entries = await read();
      if (isSame(entries, this.#entries)) return;
      await this.#replace(this.#file, entries);
      const { setAside } = this.#current;
      this.#needs.logger.info({ event: "configuration", entries: entries.length }, "what is set by API was read");
      for (const { kind, name, faults } of setAside)
        this.#needs.logger.warn({ event: "configuration", kind, name, faults }, "an entry that was set by API does not count");
    });
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {});
    await Promise.all([this.#current, ...this.#retiring].map((generation) => closeGeneration(generation, undefined)));
  }

  async #replace(file: GatewaySettings, entries: readonly Entry[]): Promise<void> {
    const { gate, vault, logger } = this.#needs;
    const old = this.#current;
    const next = this.#open(file, entries, old.offer);
    // With what pv-keys says of new secrets, as at the start.
    await vault.start();
    this.#file = file;
    this.#entries = entries;
    this.#current = next;
    // At once: no call may meet models that are not ready.
    for (const hear of this.#listeners) hear();
    vault.keepOnly(next.settings.providers);
    this.#retiring.add(old);
    void gate
      .passed()
      .then(() => closeGeneration(old, next))
      .catch((error: unknown) => logger.error({ err: error }, "connections of an earlier configuration could not be closed"))
      .finally(() => this.#retiring.delete(old));
  }

  #open(file: GatewaySettings, entries: readonly Entry[], before?: Offer): Generation {
    const { embedded, found, openHooks } = this.#needs;
    const { settings, setAside } = mergeSettings(file, entries, this.#tools);
    // First what can fail, so that nothing is left open.
    const hooks = openHooks(settings);
    const offer = openOffer({ settings, credentials: this.#credentialsOf(settings), embedded, found, before });
    return { settings, offer, hooks, setAside };
  }

  #credentialsOf({ providers }: GatewaySettings): Map<string, ProviderCredential> {
    const kept = this.#needs.vault.use(providers);
    const credentials = new Map<string, ProviderCredential>();
    for (const { name, secret } of providers) {
      if (!secret) continue;
      const read = kept.get(name);
      if (read && "vault" in secret) credentials.set(name, { read, identity: "" });
      if ("vault" in secret) continue;
      const value = readSecret(secret, this.#needs.environment) ?? "";
      credentials.set(name, { read: () => value, identity: createHash("sha256").update(value).digest("base64") });
    }
    return credentials;
  }

  #refuse(path: string, error: unknown): Refusal {
    const { clock, logger } = this.#needs;
    this.#reloads.inc({ result: "refused" });
    const faults =
      error instanceof RefusedSettings
        ? error.faults
        : [{ line: undefined, path: "", detail: `the file ${(error as Error).message}` }];
    this.refused = { at: new Date(clock.now()), fileName: basename(path), faults };
    logger.warn(
      { event: "configuration", result: "refused", faults },
      "gateway.yaml is refused; the one before it stays in force",
    );
    return this.refused;
  }
}

/** Closes what the next one does not use. */
async function closeGeneration({ offer, hooks }: Generation, next: Generation | undefined): Promise<void> {
  const used = new Set([...(next?.offer.upstreams.values() ?? [])].map(({ upstream }) => upstream));
  const left = [...offer.upstreams.values()].filter(({ upstream }) => !used.has(upstream));
  await Promise.all([...left.map(({ upstream }) => upstream.close()), hooks?.close()]);
}

function isSame(left: readonly Entry[], right: readonly Entry[]): boolean {
  const all = (entries: readonly Entry[]): string => entries.map(({ id, version }) => `${id}:${version}`).join();
  return all(left) === all(right);
}

function measureReloads(metrics: Metrics, isRefused: () => boolean) {
  metrics.gauge({
    name: "nexus_gateway_configuration_refused",
    help: "1 while the newest gateway.yaml is refused and the one before it is in force",
    collect() {
      this.set(Number(isRefused()));
    },
  });
  return metrics.counter({
    name: "nexus_gateway_configuration_reloads_total",
    help: "how often gateway.yaml was read again, by what became of it",
    labelNames: ["result"],
  });
}
