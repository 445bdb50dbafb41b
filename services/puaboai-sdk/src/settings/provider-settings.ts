import type { Node } from "yaml";
import { compatible, type ProviderKind } from "../providers/provider-kind.ts";
import { providerKinds } from "../providers/provider-kinds.ts";
import type { BreakerSettings } from "../proxy/breaker.ts";
import { isPrivateHost } from "../proxy/private-address.ts";
import type { SecretSource } from "../secrets/read-secrets.ts";
import { type WireFormatName, wireFormatNames } from "../wire/wire-format.ts";
import { entriesOf, fieldsOf, itemsOf, scalarSource, type YamlFields, type YamlFile } from "./yaml-fields.ts";

/** A provider as data: where it is, how it is spoken to, how long it may take. */
export interface ProviderSettings {
  name: string;
  /** Without a trailing slash; the path of the wire format is appended. */
  baseUrl: string;
  /** Where the secret comes from; absent: the provider wants none. */
  secret: SecretSource | { vault: string } | undefined;
  /** The header that carries the secret, and what stands before it. */
  auth: { header: string; prefix: string };
  /** Further headers without secrets, such as an API version. */
  headers: Record<string, string>;
  /** May be reached at private, loopback and link-local addresses. */
  allowsPrivateNetwork: boolean;
  deadlines: ProviderDeadlines;
  /** Calls at once; more are told to come back. */
  maxConcurrent: number;
  /** The field in which this provider takes an output cap. */
  outputCapField: "max_tokens" | "max_completion_tokens";
  /** Some older servers refuse `stream_options`. */
  takesStreamOptions: boolean;
  breaker: BreakerSettings;
  /** What it speaks. */
  wireFormats: readonly WireFormatName[];
  /** Sent with every call as the query `api-version`. */
  apiVersion?: string | undefined;
  /** Each model has a path of its own, below `deployments`. */
  hasDeployments?: boolean | undefined;
}

/** Milliseconds. */
export interface ProviderDeadlines {
  /** Until the connection stands, TLS included. */
  connectMs: number;
  /** From sending the request to the first byte of the answer; without streaming that is the whole thinking time. */
  firstByteMs: number;
  /** Between two pieces of a stream. */
  idleMs: number;
  /** From sending the request to the last byte. */
  totalMs: number;
}

const names = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const headerName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/;
const headerValue = /^[\x20-\x7e]{1,1000}$/;
// Ours to set, or of one connection only (RFC 9110 §7.6.1).
const ownHeaders: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "accept-encoding",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "x-request-id",
]);
/** Those, and what carries secrets. */
const reservedHeaders: ReadonlySet<string> = new Set([...ownHeaders, "authorization", "proxy-authorization", "cookie"]);

export function readProviders(file: YamlFile, node: Node | null | undefined): ProviderSettings[] {
  const providers: ProviderSettings[] = [];
  for (const [name, value] of entriesOf(file, node, "providers")) {
    const path = `providers.${name}`;
    if (!names.test(name)) file.refuse(value, path, "must be named by lower-case letters, digits, dots and hyphens");
    const fields = fieldsOf(file, value, path);
    if (!fields) continue;
    const provider = readProvider(file, fields, name);
    fields.finish();
    if (provider) providers.push(provider);
  }
  return providers;
}

function readProvider(file: YamlFile, fields: YamlFields, name: string): ProviderSettings | undefined {
  const kind = readKind(fields);
  // An administrator who names such a kind means its address; one that the file tells is checked like any other.
  const allowsPrivateNetwork = fields.flagOr("allow_private_network", kind.isLocal && !fields.has("base_url"));
  const baseUrl = readBaseUrl(fields, allowsPrivateNetwork, kind);
  const secret = readSecretSource(file, fields);
  const header = fields.optionalText("auth_header", { pattern: headerName, saying: "must be the name of a header" });
  if (header !== undefined && ownHeaders.has(header.toLowerCase())) fields.refuse("auth_header", "is set by the gateway itself");
  const headers = { ...kind.headers, ...readHeaders(file, fields) };
  const deadlines = readDeadlines(fields);
  const maxConcurrent = fields.integerOr("max_concurrent", 1000, { min: 1, max: 10_000 });
  const outputCapField = fields.has("output_cap_field")
    ? (fields.oneOf("output_cap_field", ["max_tokens", "max_completion_tokens"]) ?? kind.outputCapField)
    : kind.outputCapField;
  const takesStreamOptions = fields.flagOr("takes_stream_options", kind.takesStreamOptions);
  const failures = fields.integerOr("breaker_failures", 5, { min: 0, max: 1000 });
  const openMs = fields.integerOr("breaker_open_ms", 10_000, { min: 10, max: 600_000 });
  const wireFormats = fields.has("wire_formats") ? readWireFormats(file, fields) : kind.wireFormats;
  const version = readVersion(fields, kind, baseUrl);
  if (baseUrl === undefined) return undefined;
  return {
    name,
    baseUrl,
    secret,
    auth: header === undefined ? kind.auth : { header: header.toLowerCase(), prefix: "" },
    headers,
    allowsPrivateNetwork,
    deadlines,
    maxConcurrent,
    outputCapField,
    takesStreamOptions,
    breaker: { failures, openMs },
    wireFormats,
    ...version,
  };
}

/** Azure's older API has a path for each deployment and wants a version with each call; its `/openai/v1` wants neither. */
function readVersion(
  fields: YamlFields,
  kind: ProviderKind,
  baseUrl: string | undefined,
): Pick<ProviderSettings, "apiVersion" | "hasDeployments"> {
  const apiVersion = fields.optionalText("api_version", {
    pattern: /^(?:\d{4}-\d{2}-\d{2}(?:-preview)?|preview|latest)$/,
    saying: "must be a version like 2024-10-21",
  });
  if (!kind.hasDeployments || baseUrl === undefined || baseUrl.endsWith("/v1")) return { apiVersion };
  if (apiVersion === undefined && !fields.has("api_version"))
    fields.refuse("base_url", "ends without /openai/v1, where api_version must be told");
  return { apiVersion, hasDeployments: true };
}

/** Without one, and after a fault in it: what is compatible with OpenAI. */
function readKind(fields: YamlFields): ProviderKind {
  if (!fields.has("kind")) return compatible;
  const name = fields.oneOf(
    "kind",
    providerKinds.map((kind) => kind.name),
  );
  const kind = providerKinds.find((one) => one.name === name) ?? compatible;
  const isKnownPlace = kind.baseUrl !== undefined && !kind.isLocal && !fields.has("base_url");
  const tellsKey = ["api_key_env", "api_key_file", "api_key_secret", "api_key"].some((field) => fields.has(field));
  if (isKnownPlace && !tellsKey) fields.refuse("kind", `${kind.name} wants a key: api_key_env, api_key_file or api_key_secret`);
  return kind;
}

function readDeadlines(fields: YamlFields): ProviderDeadlines {
  return {
    connectMs: fields.integerOr("connect_timeout_ms", 5000, { min: 10, max: 120_000 }),
    firstByteMs: fields.integerOr("first_byte_timeout_ms", 120_000, { min: 10, max: 3_600_000 }),
    idleMs: fields.integerOr("idle_timeout_ms", 60_000, { min: 10, max: 3_600_000 }),
    totalMs: fields.integerOr("total_timeout_ms", 600_000, { min: 10, max: 3_600_000 }),
  };
}

function readWireFormats(file: YamlFile, fields: YamlFields): WireFormatName[] {
  const path = `${fields.path}.wire_formats`;
  const found = itemsOf(file, fields.child("wire_formats"), path).flatMap((item): WireFormatName[] => {
    const name = wireFormatNames.find((one) => one === scalarSource(item));
    if (name === undefined) file.refuse(item, path, `must hold some of ${wireFormatNames.join(", ")}`);
    return name === undefined ? [] : [name];
  });
  return [...new Set(found)];
}

function readBaseUrl(fields: YamlFields, allowsPrivateNetwork: boolean, kind: ProviderKind): string | undefined {
  if (!fields.has("base_url") && kind.baseUrl !== undefined) return checkedBaseUrl(fields, allowsPrivateNetwork, kind.baseUrl);
  const text = fields.text("base_url");
  return text === undefined ? undefined : checkedBaseUrl(fields, allowsPrivateNetwork, text);
}

function checkedBaseUrl(fields: YamlFields, allowsPrivateNetwork: boolean, text: string): string | undefined {
  const url = URL.parse(text);
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return fields.refuse("base_url", "must be a URL starting with https:// or http://");
  }
  if (url.username !== "" || url.password !== "") return fields.refuse("base_url", "must not hold a user name or password");
  if (url.search !== "" || url.hash !== "") return fields.refuse("base_url", "must not have a query or a fragment");
  if (!allowsPrivateNetwork && isPrivateHost(url.hostname)) {
    return fields.refuse("base_url", "lies in a private network: set allow_private_network if that is meant");
  }
  if (!allowsPrivateNetwork && url.protocol === "http:") {
    return fields.refuse(
      "base_url",
      "must start with https://: over http:// everybody on the way reads key and prompts (allow_private_network lifts this)",
    );
  }
  return url.href.replace(/\/+$/, "");
}

function readSecretSource(yaml: YamlFile, fields: YamlFields): ProviderSettings["secret"] {
  const env = fields.optionalText("api_key_env", {
    pattern: /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
    saying: "must be the name of an environment variable, not a key",
  });
  const file = fields.optionalText("api_key_file");
  const vault = fields.optionalText("api_key_secret", {
    pattern: /^[a-z][a-z0-9._-]{0,62}$/,
    saying: "must be the name of a secret that pv-keys keeps, not a key",
  });
  const [first, second] = ["api_key_env", "api_key_file", "api_key_secret"].filter((name) => fields.has(name));
  if (first !== undefined && second !== undefined) fields.refuse(second, `and ${first} are both set; keep one`);
  if (fields.has("api_key")) {
    fields.child("api_key");
    fields.refuse(
      "api_key",
      "must not stand in this file: name its environment variable in api_key_env, its file in api_key_file or its secret in api_key_secret",
    );
  }
  const [name, here] = env !== undefined ? (["api_key_env", { env }] as const) : (["api_key_file", file && { file }] as const);
  if (here) {
    const fault = yaml.faultOfSecret?.(here);
    if (fault) fields.refuse(name, `names a key that ${fault}`);
    return here;
  }
  return vault === undefined ? undefined : { vault };
}

function readHeaders(file: YamlFile, fields: YamlFields): Record<string, string> {
  if (!fields.has("headers")) return {};
  const headers: Record<string, string> = {};
  for (const [name, node] of entriesOf(file, fields.child("headers"), `${fields.path}.headers`)) {
    const path = `${fields.path}.headers.${name}`;
    const value = scalarSource(node);
    if (!headerName.test(name)) file.refuse(node, path, "is not the name of a header");
    else if (reservedHeaders.has(name.toLowerCase())) file.refuse(node, path, "is set by the gateway itself");
    else if (value === undefined || !headerValue.test(value)) file.refuse(node, path, "must be printable ASCII");
    else headers[name.toLowerCase()] = value;
  }
  return headers;
}
