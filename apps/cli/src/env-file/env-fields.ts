/** Every name that `.env.pf` may hold. The example file, the generated file and the checks all come from this table. */
import { randomBytes } from "node:crypto";

interface Named {
  readonly name: string;
  /** One sentence for whoever edits the file. */
  readonly doc: string;
  readonly group:
    | "Application"
    | "Database"
    | "Cache"
    | "Authentication"
    | "Keys and audit"
    | "Between the services"
    | "First administrator";
}

interface Setting extends Named {
  readonly kind: "setting";
  readonly default: string;
  /** Completes "NAME …" when the value is refused. */
  readonly refuse?: (value: string) => string | undefined;
}

export interface SecretField extends Named {
  readonly kind: "secret";
  /** Name of its file under ./secrets. */
  readonly file: string;
  /** An optional secret may be empty; a required one is made at the first deployment. */
  readonly required: boolean;
  readonly make: () => string;
  /** Not known to the first release: where an older `.env.pf` lacks it, the next deployment adds it. */
  readonly cameLater?: boolean;
  /** What of the value has to be secret, where the value has a frame around it. */
  readonly core?: (value: string) => string;
}

export type EnvField = Setting | SecretField;

const fresh = (): string => randomBytes(32).toString("base64url");

const fixed = (value: string, why: string) => (given: string) => (given === value ? undefined : `must be ${value}: ${why}`);
const inCompose = "docker-compose.pf.yml names it so";
const port = (value: string): string | undefined =>
  /^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65_535 ? undefined : "must be a port from 1 to 65535";
const oneOf =
  (...allowed: string[]) =>
  (value: string): string | undefined =>
    allowed.includes(value) ? undefined : `must be one of ${allowed.join(", ")}`;

/** Those of the services, which the command may not import. */
const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/** Cookies follow the scheme, so plain http is for this machine alone. */
function publicUrl(value: string): string | undefined {
  const parsed = URL.parse(value);
  if (!parsed || parsed.origin !== value) return "must be an origin, such as https://nexus.example.com";
  const loopback = ["localhost", "127.0.0.1", "[::1]"].includes(parsed.hostname);
  return parsed.protocol === "https:" || (parsed.protocol === "http:" && loopback)
    ? undefined
    : "must be https, or http on localhost";
}

const application: EnvField[] = [
  setting(
    "NODE_ENV",
    "Kept for other tools; nothing here behaves differently by it.",
    "production",
    fixed("production", "this is a deployment"),
  ),
  setting("PORT", "Published port of puabo-api.", "4000", port),
  setting("NEXUS_PUABOAI_SDK_PORT", "Published port of the AI gateway.", "3002", port),
  setting("NEXUS_PV_KEYS_PORT", "Published port of the key service.", "3041", port),
  setting(
    "NEXUS_PUBLIC_URL",
    "Origin under which browsers reach puabo-api; https, or http on localhost.",
    "http://localhost:4000",
    publicUrl,
  ),
  setting(
    "NEXUS_PV_KEYS_PUBLIC_URL",
    "Origin under which browsers reach the key service, for its one-time links; https, or http on localhost.",
    "http://localhost:3041",
    publicUrl,
  ),
  setting(
    "NEXUS_LEAK_ACTION",
    "What happens to a key that is reported as leaked: disable it until somebody enables it again, revoke it for ever, or only report.",
    "disable",
    oneOf("revoke", "disable", "report"),
  ),
  setting("NEXUS_TRUSTED_PROXIES", "Addresses of the proxies in front, comma separated, whose X-Forwarded-For is believed.", ""),
  setting("NEXUS_LOG_LEVEL", `Least severe log line written: ${logLevels.join(", ")}.`, "info", oneOf(...logLevels)),
  setting(
    "NEXUS_GATEWAY_CONFIG",
    "Path of gateway.yaml inside the gateway's container, /etc/nexus/gateway.yaml, once there is one.",
    "",
  ),
  setting(
    "NEXUS_PUABOAI_SDK_PROCESSES",
    "How many processes of the gateway share its port, 0 for one on each core.",
    "1",
    (value: string) => (/^\d{1,2}$/.test(value) ? undefined : "must be a whole number from 0 to 99"),
  ),
  setting("NPM_REGISTRY", "Where the image build fetches npm packages from; empty for npm's own default.", "", (value: string) =>
    value === "" || URL.canParse(value) ? undefined : "must be a URL",
  ),
].map((field) => ({ ...field, group: "Application" }));

const database: EnvField[] = [
  setting("DB_HOST", "Host of PostgreSQL on the private network.", "nexus-cos-postgres", fixed("nexus-cos-postgres", inCompose)),
  setting("DB_PORT", "Its port there; it is never published.", "5432", fixed("5432", inCompose)),
  setting("DB_NAME", "Database.", "nexus_db", fixed("nexus_db", inCompose)),
  setting("DB_USER", "Owner of the schema; only migrations log in with it.", "nexus_user", fixed("nexus_user", inCompose)),
  secret("DB_PASSWORD", "Password of the owner.", "db_password"),
  secret("NEXUS_API_DB_PASSWORD", "Password of nexus_api, the role of puabo-api.", "db_nexus_api_password"),
  secret("NEXUS_AI_DB_PASSWORD", "Password of nexus_ai, the role of the gateway.", "db_nexus_ai_password"),
  secret("NEXUS_KEYS_DB_PASSWORD", "Password of nexus_keys, the role of the key service.", "db_nexus_keys_password"),
].map((field) => ({ ...field, group: "Database" }));

const cache: EnvField[] = [
  setting("REDIS_HOST", "Host of Redis on the private network.", "nexus-cos-redis", fixed("nexus-cos-redis", inCompose)),
  setting("REDIS_PORT", "Its port there; it is never published.", "6379", fixed("6379", inCompose)),
  secret("REDIS_PASSWORD", "Password of Redis.", "redis_password"),
].map((field) => ({ ...field, group: "Cache" }));

const authentication: EnvField[] = [
  setting("OAUTH_CLIENT_ID", "Client id at an OAuth provider; this release signs in by password only, leave it empty.", ""),
  {
    ...secret("OAUTH_CLIENT_SECRET", "Secret that belongs to OAUTH_CLIENT_ID; leave it empty with it.", "oauth_client_secret"),
    required: false,
  },
  secret("JWT_SECRET", "Encrypts the signing keys of tokens where they rest in the database.", "jwt_secret"),
  setting(
    "NEXUS_SIGN_UP",
    "open lets anyone sign up; closed lets nobody but those an administrator adds.",
    "closed",
    oneOf("open", "closed"),
  ),
].map((field) => ({ ...field, group: "Authentication" }));

/** Secrets of which several versions may be in use at once. */
const versioned = { make: () => `1:${fresh()}`, core: (value: string) => value.replace(/^\d+:/, "") };

const keysAndAudit: EnvField[] = [
  {
    ...secret(
      "NEXUS_KEY_PEPPERS",
      "Peppers of API keys as version:secret; add a higher version after a space to rotate, keep the old.",
      "key_peppers",
    ),
    ...versioned,
  },
  {
    ...secret(
      "NEXUS_KEY_ENCRYPTION_KEYS",
      "Wrap the keys of stored secrets, as version:secret; add a higher version after a space to rotate, keep the old.",
      "key_encryption_keys",
    ),
    ...versioned,
    cameLater: true,
  },
  secret("NEXUS_AUDIT_KEY", "Authenticates audit entries and commits to personal data in them.", "audit_key"),
].map((field) => ({ ...field, group: "Keys and audit" }));

const betweenServices: EnvField[] = [
  secret("NEXUS_TOKEN_PUABO_API", "Proof of puabo-api on the private listeners of the others.", "token_puabo_api"),
  secret("NEXUS_TOKEN_PUABOAI_SDK", "Proof of the gateway there.", "token_puaboai_sdk"),
  secret("NEXUS_TOKEN_PV_KEYS", "Proof of the key service there.", "token_pv_keys"),
].map((field) => ({ ...field, group: "Between the services" }));

const firstAdministrator: EnvField[] = [
  setting("NEXUS_INIT_EMAIL", "Makes the first administrator without the one-time link.", "", (value: string) =>
    /^[^\s@]+@[^\s@]+$/.test(value) ? undefined : "must be an email address",
  ),
  { ...secret("NEXUS_INIT_PASSWORD", "That administrator's password.", "init_password"), required: false },
].map((field) => ({ ...field, group: "First administrator" }));

export const envFields: readonly EnvField[] = [
  ...application,
  ...database,
  ...cache,
  ...authentication,
  ...keysAndAudit,
  ...betweenServices,
  ...firstAdministrator,
];

export const secretFields: readonly SecretField[] = envFields.filter((field) => field.kind === "secret");

function setting(name: string, doc: string, value: string, refuse?: Setting["refuse"]): Setting {
  return { kind: "setting", name, doc, group: "Application", default: value, ...(refuse && { refuse }) };
}

function secret(name: string, doc: string, file: string): SecretField {
  return { kind: "secret", name, doc, group: "Application", file, required: true, make: fresh };
}
