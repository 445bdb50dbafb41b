import { auditFields } from "@nexus/audit";
import { type Config, type ConfigSchema, integer, oneOf, optional, secret, text, url } from "@nexus/config";
import { databaseFields, databaseRules } from "@nexus/db";
import { serverFields, serverRules, serviceTokenFields } from "@nexus/http";
import { keyCheckFields, keyLookupFields } from "@nexus/key-check";
import { redisFields, redisRules } from "@nexus/redis";
import { parseEmailAddress } from "./accounts/email-address.ts";
import { checkPassword } from "./passwords/check-password.ts";
import { isLoopbackHost } from "./sessions/check-origin.ts";

/** Everything that this service reads from its environment. */
export const configSchema = {
  ...serverFields({ port: 4000, internalPortName: "NEXUS_PUABO_API_INTERNAL_PORT" }),
  ...serviceTokenFields,
  ...databaseFields,
  ...redisFields,
  ...auditFields,
  ...keyCheckFields,
  ...keyLookupFields,
  NEXUS_PUBLIC_URL: url({
    doc: "Origin under which people reach puabo-api, and issuer of its tokens; https, or http on loopback. It decides the cookies.",
    default: "http://localhost:4000",
  }),
  JWT_SECRET: secret({
    doc: "Wraps the keys that sign tokens; at least 32 characters, the same on every replica and for as long as the database lives.",
    minLength: 32,
  }),
  NEXUS_SIGN_UP: oneOf({ doc: "`open` lets anyone sign up.", values: ["open", "closed"], default: "closed" }),
  NEXUS_INIT_EMAIL: optional(text({ doc: "Address of the first administrator, instead of the set-up link.", maxLength: 254 })),
  NEXUS_INIT_PASSWORD: optional(secret({ doc: "Password of the first administrator.", minLength: 8 })),
  NEXUS_PASSWORD_MIN_LENGTH: integer({ doc: "Fewest characters of a password.", default: 15, min: 8, max: 64 }),
  NEXUS_SESSION_IDLE_SECONDS: integer({ doc: "A session unused for so long ends.", default: 604_800, min: 60, max: 31_536_000 }),
  NEXUS_SESSION_ABSOLUTE_SECONDS: integer({
    doc: "A session ends after so long however much it is used.",
    default: 2_592_000,
    min: 60,
    max: 31_536_000,
  }),
  NEXUS_SIGN_IN_PER_ACCOUNT: integer({
    doc: "Failed sign-ins to one account in 15 minutes.",
    default: 10,
    min: 1,
    max: 1_000_000,
  }),
  NEXUS_SIGN_IN_PER_NETWORK: integer({
    doc: "Sign-ins from one address (IPv6: one /64) in 15 minutes.",
    default: 100,
    min: 1,
    max: 1_000_000,
  }),
  NEXUS_SIGN_IN_PER_MINUTE: integer({
    doc: "Sign-ins and sign-ups of everybody in a minute.",
    default: 1000,
    min: 1,
    max: 1_000_000,
  }),
  NEXUS_MODULE_PROBE_SECONDS: integer({ doc: "Time between two looks at every module.", default: 10, min: 1, max: 3600 }),
  NEXUS_MODULE_FAILURES: integer({ doc: "Failed looks in a row after which a module is down.", default: 3, min: 1, max: 100 }),
  PV_KEYS_INTERNAL_URL: url({ doc: "Private listener of pv-keys.", default: "http://127.0.0.1:13041" }),
  PUABOAI_SDK_INTERNAL_URL: url({ doc: "Private listener of puaboai-sdk.", default: "http://127.0.0.1:13002" }),
} satisfies ConfigSchema;

export type ServiceConfig = Config<typeof configSchema>;

/** Faults that concern several variables, or the place a value has in the whole. */
export function configRules(config: ServiceConfig): string[] {
  return [
    ...databaseRules(config),
    ...serverRules(config, config.NEXUS_PUABO_API_INTERNAL_PORT),
    ...redisFaults(config),
    ...publicUrlFaults(config.NEXUS_PUBLIC_URL),
    ...initFaults(config),
    ...lifetimeFaults(config),
  ];
}

function redisFaults(config: ServiceConfig): string[] {
  const isNamed = config.REDIS_URL !== undefined || config.REDIS_HOST !== undefined;
  return isNamed ? redisRules(config) : ["REDIS_URL or REDIS_HOST is required: where Redis is"];
}

function publicUrlFaults(publicUrl: string): string[] {
  const parsed = new URL(publicUrl);
  const faults: string[] = [];
  if (parsed.protocol !== "https:" && !isLoopbackHost(parsed.hostname)) {
    faults.push(
      "NEXUS_PUBLIC_URL must start with https:// unless it is on loopback: over plain http anyone on the way reads the cookie",
    );
  }
  if (parsed.origin !== publicUrl) faults.push("NEXUS_PUBLIC_URL must be an origin: no path, no query, no user");
  return faults;
}

function initFaults(config: ServiceConfig): string[] {
  const { NEXUS_INIT_EMAIL: given, NEXUS_INIT_PASSWORD: password, NEXUS_PASSWORD_MIN_LENGTH: minLength } = config;
  if (given === undefined && password === undefined) return [];
  if (given === undefined) return ["NEXUS_INIT_EMAIL is required with NEXUS_INIT_PASSWORD"];
  const email = parseEmailAddress(given);
  const faults = email === undefined ? ["NEXUS_INIT_EMAIL is not an e-mail address"] : [];
  if (password === undefined)
    return [...faults, "NEXUS_INIT_PASSWORD (or NEXUS_INIT_PASSWORD_FILE) is required with NEXUS_INIT_EMAIL"];
  const sentences = {
    too_short: `must have at least ${minLength} characters`,
    too_long: "must have at most 256 characters",
    common: "is one that everybody who guesses passwords tries",
    own_words: "contains the person's own address",
  };
  const fault = checkPassword(password, { email: given, name: "" }, minLength);
  return fault === undefined ? faults : [...faults, `NEXUS_INIT_PASSWORD ${sentences[fault]}`];
}

function lifetimeFaults(config: ServiceConfig): string[] {
  if (config.NEXUS_SESSION_IDLE_SECONDS <= config.NEXUS_SESSION_ABSOLUTE_SECONDS) return [];
  return ["NEXUS_SESSION_IDLE_SECONDS must not exceed NEXUS_SESSION_ABSOLUTE_SECONDS"];
}
