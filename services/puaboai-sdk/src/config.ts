import { auditFields } from "@nexus/audit";
import { type Config, type Field, flag, integer, optional, secret, text, url } from "@nexus/config";
import { nanosFromDollars } from "@nexus/core";
import { databaseFields, databaseRules } from "@nexus/db";
import { serverFields, serverRules, serviceTokenFields } from "@nexus/http";
import { keyCheckFields, keyLookupFields } from "@nexus/key-check";
import { redisFields, redisRules } from "@nexus/redis";
import { gatewayConfigField } from "./settings/gateway-settings.ts";

const defaultBudget: Field<bigint | undefined> = {
  doc: "What an organization may spend in total, in nano-dollars, that nobody has given a budget; without it: nothing.",
  fallback: { value: undefined, shown: "—" },
  secret: false,
  parse: (value) => {
    if (!/^\d{1,18}$/.test(value) || BigInt(value) > nanosFromDollars("100000000")) {
      throw new Error("must be a whole number of nano-dollars (10^-9 USD)");
    }
    return BigInt(value);
  },
};

export const configSchema = {
  ...serverFields({ port: 3002, internalPortName: "NEXUS_PUABOAI_SDK_INTERNAL_PORT" }),
  ...databaseFields,
  ...redisFields,
  ...auditFields,
  ...serviceTokenFields,
  ...keyCheckFields,
  ...keyLookupFields,
  NEXUS_GATEWAY_CONFIG: gatewayConfigField,
  NEXUS_GATEWAY_CONFIG_SECONDS: integer({
    doc: "How often gateway.yaml is looked at for changes, seconds; 0: only on SIGHUP and `POST /v1/admin/reload`.",
    default: 5,
    min: 0,
    max: 3600,
  }),
  NEXUS_SPOOL_DIR: text({
    doc: "Folder of the usage journal, on a local disk that outlives the process.",
    default: ".nexus/spool",
  }),
  NEXUS_SPOOL_MAX_BYTES: integer({
    doc: "Largest usage journal; while PostgreSQL is away and it is full, calls are answered 503.",
    default: 64 * 1024 * 1024,
    min: 64 * 1024,
    max: 64 * 1024 * 1024 * 1024,
  }),
  NEXUS_MAX_BODY_BYTES: integer({
    doc: "Largest request body of the model routes; images in a chat count.",
    default: 16 * 1024 * 1024,
    min: 1024,
    max: 256 * 1024 * 1024,
  }),
  NEXUS_MAX_AUDIO_BYTES: integer({
    doc: "Largest request body of the routes that listen to sound.",
    default: 26 * 1024 * 1024,
    min: 1024,
    max: 1024 * 1024 * 1024,
  }),
  NEXUS_DEFAULT_BUDGET_NANOS: defaultBudget,
  NEXUS_BUDGET_WEBHOOK_URL: optional(
    url({ doc: "Told when a share of a budget is spent, in the form of Standard Webhooks; without it nobody is told." }),
  ),
  NEXUS_BUDGET_WEBHOOK_SECRET: optional(secret({ doc: "Key of the webhook's signatures.", minLength: 24 })),
  NEXUS_FIND_LOCAL_MODELS: flag({
    doc: "Look once, at start, for Ollama, LM Studio and llama-server on this machine and offer their models as local/….",
    default: true,
  }),
  NEXUS_PUBLIC_URL: url({
    doc: "Origin of puabo-api: who issues the tokens that people come with.",
    default: "http://localhost:4000",
  }),
  PUABO_API_URL: url({ doc: "Where this service reaches puabo-api, for its signing keys.", default: "http://127.0.0.1:4000" }),
  PV_KEYS_INTERNAL_URL: url({ doc: "Private listener of pv-keys, which verifies API keys.", default: "http://127.0.0.1:13041" }),
  NEXUS_PUABOAI_SDK_PROCESSES: integer({
    doc: "How many processes answer on the two ports; 0: one for each core. Each has its own connections to PostgreSQL and its own caps and breakers, as a replica has. `npm start` runs one.",
    default: 1,
    min: 0,
    max: 128,
  }),
  NEXUS_VERSION: text({ doc: "Version shown at `/`.", default: "0.1.0", maxLength: 64 }),
};

export type GatewayConfig = Config<typeof configSchema>;

export function configRules(config: GatewayConfig): string[] {
  return [
    ...databaseRules(config),
    ...redisRules(config),
    ...serverRules(config, config.NEXUS_PUABOAI_SDK_INTERNAL_PORT),
    ...webhookRules(config),
  ];
}

function webhookRules({ NEXUS_BUDGET_WEBHOOK_URL: address, NEXUS_BUDGET_WEBHOOK_SECRET: key }: GatewayConfig): string[] {
  if ((address === undefined) === (key === undefined)) return [];
  return ["NEXUS_BUDGET_WEBHOOK_URL and NEXUS_BUDGET_WEBHOOK_SECRET are set together or not at all"];
}
