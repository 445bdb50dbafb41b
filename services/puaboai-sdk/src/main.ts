import { runMain } from "@nexus/http";
import { configRules, configSchema, startService } from "./service.ts";

await runMain({
  process,
  serviceName: "puaboai-sdk",
  schema: configSchema,
  rules: configRules,
  start: (config, tools) => startService(config, { ...tools, environment: process.env }),
});
