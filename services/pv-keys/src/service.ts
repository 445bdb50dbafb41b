/** pv-keys: issues API keys, tells whether one is valid, and revokes it. */
import { ConfigError } from "@nexus/config";
import { listenAddressOf } from "@nexus/http";
import { buildApp } from "./app.ts";
import type { KeysConfig } from "./config.ts";
import { closeDeps, type Deps, openDeps, type Tools } from "./deps.ts";
import { openRewrapper, type Rewrapper } from "./secrets/rewrapper.ts";
import { startUpkeep } from "./upkeep/upkeep.ts";

export { configRules, configSchema } from "./config.ts";

export interface RunningService {
  url: string;
  internalUrl: string;
  close(): Promise<void>;
}

/** Starts all or nothing. */
export async function startService(config: KeysConfig, tools: Tools): Promise<RunningService> {
  const deps = openDeps(config, tools);
  const rewrapper = followRewraps(deps);
  try {
    await confirmKeyMaterial(deps);
    await deps.verifier.start();
    const server = await buildApp(deps);
    const urls = await server.listen(listenAddressOf(config, config.NEXUS_PV_KEYS_INTERNAL_PORT));
    const upkeep = startUpkeep(deps);
    return {
      ...urls,
      close: async () => {
        await server.close(config.NEXUS_STOP_SECONDS * 1000);
        await Promise.all([rewrapper.close(), upkeep.close()]);
        await closeDeps(deps);
      },
    };
  } catch (error) {
    await rewrapper.close();
    await closeDeps(deps);
    throw error;
  }
}

/** A run of rewrapping goes on at the start of a process, and begins when it is announced. */
function followRewraps(deps: Deps): Rewrapper {
  const rewrapper = openRewrapper(deps);
  deps.verifier.feed.onReset(() => rewrapper.wake());
  deps.verifier.feed.onChange(({ kind }) => {
    if (kind === "secret") rewrapper.wake();
  });
  return rewrapper;
}

/** What stored hashes and ciphertexts were made with must be at hand, or nothing may be said of them. */
async function confirmKeyMaterial(deps: Deps): Promise<void> {
  try {
    await deps.keyEncryptionCheck.confirm();
    await deps.pepperCheck.confirm();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    // PostgreSQL is away or not migrated yet: tried again before anything is served, and /readyz says so.
    deps.logger.warn({ err: error }, "could not compare peppers and key-encryption keys with what is stored");
  }
}
