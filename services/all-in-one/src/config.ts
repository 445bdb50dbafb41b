/** The settings of the embedded composition. What belongs to one service alone is passed on to it untouched. */
import { type Config, integer, oneOf, optional, port, text, url } from "@nexus/config";
import { databaseFields, databaseRules } from "@nexus/db";
import { redisFields, redisRules } from "@nexus/redis";
import { logLevels } from "@nexus/telemetry";

const ports = {
  NEXUS_PUABO_API_PORT: port({ doc: "Port of puabo-api: accounts, audit, status.", default: 4000 }),
  NEXUS_PUABOAI_SDK_PORT: port({ doc: "Port of puaboai-sdk: the AI gateway.", default: 3002 }),
  NEXUS_PV_KEYS_PORT: port({ doc: "Port of pv-keys: API keys.", default: 3041 }),
};

export const configSchema = {
  ...ports,
  ...databaseFields,
  ...redisFields,
  NEXUS_DATA_DIR: text({ doc: "Where the embedded database, the secrets and the usage journal live.", default: ".nexus" }),
  NEXUS_BIND_HOST: text({ doc: "Address that the published ports listen on.", default: "127.0.0.1" }),
  NEXUS_PUBLIC_URL: optional(
    url({ doc: "Origin under which people reach puabo-api; by default http://localhost and its port." }),
  ),
  NEXUS_LOG_LEVEL: oneOf({ doc: "Least severe log line written.", default: "warn", values: logLevels }),
  NEXUS_CACHE: oneOf({
    doc: "auto: a redis-server on the PATH if there is one, else the embedded one; embedded: always the embedded one.",
    default: "auto",
    values: ["auto", "embedded"],
  }),
  NEXUS_STOP_SECONDS: integer({ doc: "How long running requests may take to finish on stop.", default: 10, min: 0, max: 300 }),
};

export type PlatformConfig = Config<typeof configSchema>;

export function configRules(config: PlatformConfig): string[] {
  const chosen = Object.keys(ports).map((name) => config[name as keyof typeof ports]);
  const faults = [...(namesDatabase(config) ? databaseRules(config) : []), ...redisRules(config)];
  if (new Set(chosen).size < chosen.length) faults.push(`${Object.keys(ports).join(", ")} must differ from one another`);
  return faults;
}

/** Whether the operator brings a PostgreSQL; else the embedded one is used. */
export function namesDatabase(config: Pick<PlatformConfig, "DATABASE_URL" | "DB_HOST">): boolean {
  return config.DATABASE_URL !== undefined || config.DB_HOST !== undefined;
}
