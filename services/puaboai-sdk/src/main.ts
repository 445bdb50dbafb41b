import { availableParallelism } from "node:os";
import { runMain } from "@nexus/http";
import { configRules, configSchema, startService } from "./service.ts";

await runMain({
  process,
  serviceName: "puaboai-sdk",
  schema: configSchema,
  rules: configRules,
  processes: (config) => config.NEXUS_PUABOAI_SDK_PROCESSES || availableParallelism(),
  start: (config, tools) => startService(config, { ...tools, environment: process.env }),
});
