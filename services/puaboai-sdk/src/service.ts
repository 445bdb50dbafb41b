/** puaboai-sdk: the AI gateway. */
import { listenAddressOf } from "@nexus/http";
import { buildApp } from "./app.ts";
import type { GatewayConfig } from "./config.ts";
import { openDeps, type Tools } from "./deps.ts";

export { configRules, configSchema } from "./config.ts";

export interface RunningService {
  url: string;
  internalUrl: string;
  close(): Promise<void>;
  /** Reads gateway.yaml again; a bad one is told in the log, and the one before it stays in force. */
  reload(): Promise<void>;
}

/** Starts all or nothing. @throws ConfigError when `gateway.yaml` names a key that `environment` and files do not hold */
export async function startService(config: GatewayConfig, tools: Tools): Promise<RunningService> {
  const { deps, close } = await openDeps(config, tools);
  try {
    const server = await buildApp(deps);
    await deps.verifier.start();
    await deps.vault.start();
    await deps.entries.start();
    await deps.priceBook.start();
    deps.contents.start();
    const urls = await server.listen(listenAddressOf(config, config.NEXUS_PUABOAI_SDK_INTERNAL_PORT));
    return {
      ...urls,
      reload: async () => void (await deps.configuration.reloadFile()),
      close: async () => {
        await server.close(config.NEXUS_STOP_SECONDS * 1000);
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
