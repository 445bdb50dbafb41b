import { runMain } from "@nexus/http";
import { configRules, configSchema, startService } from "./service.ts";

await runMain({
  process,
  serviceName: "puabo-api",
  schema: configSchema,
  rules: configRules,
  start: async (config, { logger }) => {
    const service = await startService(config, { logger });
    // Straight to the terminal: a log is kept, and the link is a secret.
    if (service.setupUrl !== undefined)
      process.stderr.write(`Make the first administrator, within 30 minutes: ${service.setupUrl}\n`);
    return service;
  },
});
