import { assert, type Clock, systemClock } from "@nexus/core";
import { connectionFrom, isUnavailable } from "@nexus/db";
import { listenAddressOf, type Server } from "@nexus/http";
import type { Logger } from "@nexus/telemetry";
import { parseEmailAddress } from "./accounts/email-address.ts";
import { buildApp } from "./app.ts";
import type { ServiceConfig } from "./config.ts";
import { closeDeps, type Deps, openDeps } from "./deps.ts";
import { builtInProbes } from "./modules/built-in-probes.ts";
import { openProber } from "./modules/open-prober.ts";
import { openModuleStatusReader } from "./modules/read-module-status.ts";
import { createFirstAdmin } from "./setup/create-first-admin.ts";
import { offerSetup } from "./setup/offer-setup.ts";
import { ensureSigningKey } from "./tokens/ensure-signing-key.ts";
import { startUpkeep } from "./upkeep.ts";

export { configRules, configSchema } from "./config.ts";

export interface RunningService {
  url: string;
  internalUrl: string;
  /** The one-time set-up link, while nobody is administrator. A secret: it is for the person at the terminal, never for a log. */
  setupUrl?: string;
  close(): Promise<void>;
}

const probeDeadlineMs = 3000;

/** Starts puabo-api. @throws ConfigError when a stored key or account contradicts the configuration */
export async function startService(config: ServiceConfig, tools: { logger: Logger; clock?: Clock }): Promise<RunningService> {
  const deps = await openDeps(config, { logger: tools.logger, clock: tools.clock ?? systemClock });
  try {
    const signingKeys = await ensureSigningKey(deps, config.JWT_SECRET);
    const setupUrl = await firstRun(deps, config);
    await deps.verifier.start();
    const staleAfterMs = Math.max(3 * config.NEXUS_MODULE_PROBE_SECONDS * 1000, 10_000);
    const moduleStatus = openModuleStatusReader({ db: deps.db, clock: deps.clock, staleAfterMs });
    const server = await buildApp(deps, { config, signingKeys, moduleStatus });
    const urls = await listenOrClose(server, config);
    const background = startBackground(deps, config);
    return {
      ...urls,
      ...(setupUrl === undefined ? {} : { setupUrl }),
      close: () => stop({ server, background, deps, deadlineMs: config.NEXUS_STOP_SECONDS * 1000 }),
    };
  } catch (error) {
    await closeDeps(deps);
    throw startFailure(error, config);
  }
}

/** One of the two ports may be had and the other taken: then neither is kept. */
async function listenOrClose(server: Server, config: ServiceConfig): Promise<{ url: string; internalUrl: string }> {
  try {
    return await server.listen(listenAddressOf(config, config.NEXUS_PUABO_API_INTERNAL_PORT));
  } catch (error) {
    await server.close(0);
    throw error;
  }
}

const undefinedTable = "42P01";

/** What the operator can act on, as a sentence. */
function startFailure(error: unknown, config: ServiceConfig): unknown {
  const { code } = error as { code?: unknown };
  if (code === undefinedTable) return new Error("the database has not been migrated: run the migrations first", { cause: error });
  if (!isUnavailable(error)) return error;
  const { host, port } = connectionFrom(config);
  return new Error(`PostgreSQL at ${host}:${port} cannot be used: ${(error as Error).message || String(code)}`, { cause: error });
}

/** The administrator of the configuration, or a link for whoever is at the terminal. */
async function firstRun(deps: Deps, config: ServiceConfig): Promise<string | undefined> {
  const { NEXUS_INIT_EMAIL: given, NEXUS_INIT_PASSWORD: password } = config;
  if (given === undefined || password === undefined) return await offerSetup(deps);
  const email = parseEmailAddress(given);
  assert(email !== undefined, "configRules looked at NEXUS_INIT_EMAIL");
  const made = await createFirstAdmin(deps, { email, password });
  deps.logger.info(made ? "the first administrator was made" : "NEXUS_INIT_EMAIL is ignored: there is an administrator already");
  return undefined;
}

interface Background {
  close(): Promise<void>;
}

function startBackground(deps: Deps, config: ServiceConfig): Background[] {
  const prober = openProber({
    db: deps.db,
    clock: deps.clock,
    logger: deps.logger,
    probes: builtInProbes({ ...deps, keysUrl: config.PV_KEYS_INTERNAL_URL, aiUrl: config.PUABOAI_SDK_INTERNAL_URL }),
    intervalMs: config.NEXUS_MODULE_PROBE_SECONDS * 1000,
    deadlineMs: probeDeadlineMs,
    failuresBeforeDown: config.NEXUS_MODULE_FAILURES,
  });
  return [prober, startUpkeep(deps)];
}

async function stop(running: { server: Server; background: Background[]; deps: Deps; deadlineMs: number }): Promise<void> {
  const { server, background, deps, deadlineMs } = running;
  await server.close(deadlineMs);
  await Promise.all(background.map((one) => one.close()));
  await closeDeps(deps);
}
