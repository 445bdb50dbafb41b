import { runMain } from "@nexus/http";
import { createLogger } from "@nexus/telemetry";
import { banner } from "./banner.ts";
import { configRules, configSchema } from "./config.ts";
import { asStartFault, openDataDirectory } from "./data-directory.ts";
import { firstTakenPort } from "./free-ports.ts";
import { internal } from "./service-environments.ts";
import { serviceFaults } from "./service-faults.ts";
import { startPlatform } from "./start-platform.ts";

await runMain({
  process,
  serviceName: "nexus",
  schema: configSchema,
  rules: (config) => [...configRules(config), ...serviceFaults(process.env)],
  start: async (config) => {
    const began = performance.now();
    const published = [config.NEXUS_PUABO_API_PORT, config.NEXUS_PUABOAI_SDK_PORT, config.NEXUS_PV_KEYS_PORT];
    const taken =
      (await firstTakenPort(published, config.NEXUS_BIND_HOST)) ?? (await firstTakenPort(published.map(internal), "127.0.0.1"));
    if (taken !== undefined) throw Object.assign(new Error(), { code: "EADDRINUSE", port: taken });
    const data = await openDataDirectory(config.NEXUS_DATA_DIR);
    try {
      const platform = await startPlatform({
        config,
        env: process.env,
        dataDirectory: data.path,
        loggerFor: (part) => createLogger({ service: part, level: config.NEXUS_LOG_LEVEL, destination: process.stderr }),
      });
      process.stdout.write(banner(platform, { seconds: (performance.now() - began) / 1000, dataDirectory: data.path }));
      return {
        reload: () => platform.reload(),
        close: async () => {
          await platform.close();
          await data.release();
        },
      };
    } catch (error) {
      await data.release();
      throw asStartFault(error);
    }
  },
});
