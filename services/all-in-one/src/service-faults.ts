import { randomBytes } from "node:crypto";
/** Finds what is wrong with the services' own settings before anything is started. */
import { ConfigError, type ConfigSchema, type Environment, loadConfig } from "@nexus/config";
import * as api from "@nexus/puabo-api";
import * as ai from "@nexus/puaboai-sdk";
import * as keys from "@nexus/pv-keys";
import { withoutPlatformSettings } from "./service-environments.ts";

/** Sentences that name the variables, each once. */
export function serviceFaults(env: Environment): string[] {
  const settings = { ...withoutPlatformSettings(env), ...standIns() };
  const faults = [
    faultsOf(settings, api.configSchema, api.configRules),
    faultsOf(settings, keys.configSchema, keys.configRules),
    faultsOf(settings, ai.configSchema, ai.configRules),
  ];
  return [...new Set(faults.flat())];
}

/** In place of what the composition will make: good values, so that only the operator's own can be faulty. */
function standIns(): Environment {
  const value = randomBytes(32).toString("base64url");
  return {
    DB_HOST: "127.0.0.1",
    DB_USER: "nexus",
    DB_PASSWORD: value,
    REDIS_HOST: "127.0.0.1",
    JWT_SECRET: value,
    NEXUS_AUDIT_KEY: value,
    NEXUS_KEY_PEPPERS: `1:${value}`,
    NEXUS_KEY_ENCRYPTION_KEYS: `1:${value}`,
  };
}

function faultsOf<S extends ConfigSchema>(
  env: Environment,
  schema: S,
  rules: Parameters<typeof loadConfig<S>>[2],
): readonly string[] {
  try {
    loadConfig(withoutFiles(schema), env, rules);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

/** The token files are made by the composition; there is nothing of the operator's in them. */
function withoutFiles<S extends ConfigSchema>(schema: S): S {
  const made = new Set(["NEXUS_SERVICE_TOKEN_FILE", "NEXUS_CALLER_TOKEN_FILES", "NEXUS_SPOOL_DIR"]);
  return Object.fromEntries(Object.entries(schema).filter(([name]) => !made.has(name))) as unknown as S;
}
