import { auditFields } from "@nexus/audit";
import { type Config, oneOf, text, url } from "@nexus/config";
import { databaseFields, databaseRules } from "@nexus/db";
import { serverFields, serverRules, serviceTokenFields } from "@nexus/http";
import { keyCheckFields, peppersField } from "@nexus/key-check";
import { redisFields, redisRules } from "@nexus/redis";
import { pinnedKeysField } from "./leaks/signing-keys.ts";
import { keyEncryptionField } from "./secrets/held-keys.ts";

export const configSchema = {
  ...serverFields({ port: 3041, internalPortName: "NEXUS_PV_KEYS_INTERNAL_PORT" }),
  ...databaseFields,
  ...redisFields,
  ...auditFields,
  ...serviceTokenFields,
  ...keyCheckFields,
  NEXUS_KEY_PEPPERS: peppersField,
  NEXUS_KEY_ENCRYPTION_KEYS: keyEncryptionField,
  NEXUS_PUBLIC_URL: url({
    doc: "Origin of puabo-api: who issues the tokens that people come with.",
    default: "http://localhost:4000",
  }),
  NEXUS_PV_KEYS_PUBLIC_URL: url({
    doc: "Origin under which people reach pv-keys: what the one-time links that hand over a key begin with.",
    default: "http://localhost:3041",
  }),
  PUABO_API_URL: url({ doc: "Where this service reaches puabo-api, for its signing keys.", default: "http://127.0.0.1:4000" }),
  NEXUS_LEAK_ACTION: oneOf({
    doc: "What happens to a key that is reported as leaked: `disable` until somebody enables it again, `revoke` for ever, or only `report`.",
    values: ["revoke", "disable", "report"],
    default: "disable",
  }),
  NEXUS_LEAK_KEYS_URL: url({
    doc: "Where the public keys are that GitHub signs its reports of leaked keys with; asked when a report comes.",
    default: "https://api.github.com/meta/public_keys/secret_scanning",
  }),
  NEXUS_LEAK_KEYS_FILE: pinnedKeysField,
  NEXUS_VERSION: text({ doc: "Version shown at `/`.", default: "0.1.0", maxLength: 64 }),
};

export type KeysConfig = Config<typeof configSchema>;

export function configRules(config: KeysConfig): string[] {
  return [...databaseRules(config), ...redisRules(config), ...serverRules(config, config.NEXUS_PV_KEYS_INTERNAL_PORT)];
}
