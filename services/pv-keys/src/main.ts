import { runMain } from "@nexus/http";
import { configRules, configSchema, startService } from "./service.ts";

await runMain({ process, serviceName: "pv-keys", schema: configSchema, rules: configRules, start: startService });
