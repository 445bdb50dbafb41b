/** `guardrails` in gateway.yaml: what is looked for in calls and their answers, and what is done about it. */
import { uuidOf } from "@nexus/core";
import type { Node } from "yaml";
import { type FindingKind, piiKinds, secretKinds } from "../detect/finding.ts";
import { isPrivateHost } from "../proxy/private-address.ts";
import type { SecretSource } from "../secrets/read-secrets.ts";
import { fieldsOf, itemsOf, scalarSource, type YamlFields, type YamlFile } from "../settings/yaml-fields.ts";

export type GuardrailAction = "block" | "redact" | "warn";

interface GuardrailCommon {
  name: string;
  on: "input" | "output" | "both";
  action: GuardrailAction;
  /** For the whole text of a request or an answer. */
  timeoutMs: number;
  /** What becomes of a call that it cannot judge: `open` lets it pass. */
  onFailure: "open" | "closed";
  /** Names of models or routes; absent: all. */
  models: readonly string[] | undefined;
  /** Absent: all. */
  organizations: readonly string[] | undefined;
}

export interface DetectorSettings extends GuardrailCommon {
  kind: "detector";
  detects: readonly FindingKind[];
}

export interface HttpGuardrailSettings extends GuardrailCommon {
  kind: "http";
  url: string;
  allowsPrivateNetwork: boolean;
  /** Where the secret that signs comes from. */
  secret: SecretSource;
  /** Longest body that is sent, bytes. */
  maxBytes: number;
  /** Questions at once. */
  maxConcurrent: number;
}

export type GuardrailSettings = DetectorSettings | HttpGuardrailSettings;

const families: Readonly<Record<string, readonly FindingKind[]>> = { secrets: secretKinds, pii: piiKinds };
const names = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const mostGuardrails = 20;

/** @param known names of models and routes of the file */
export function readGuardrails(file: YamlFile, root: YamlFields, known: ReadonlySet<string>): GuardrailSettings[] {
  if (!root.has("guardrails")) return [];
  const found: GuardrailSettings[] = [];
  const items = itemsOf(file, root.child("guardrails"), "guardrails");
  if (items.length > mostGuardrails) root.refuse("guardrails", `must be ${mostGuardrails} at most`);
  for (const [index, node] of items.entries()) {
    const fields = fieldsOf(file, node, `guardrails[${index}]`);
    if (!fields) continue;
    const guardrail = readGuardrail(file, fields, known);
    fields.finish();
    if (!guardrail) continue;
    if (found.some(({ name }) => name === guardrail.name)) fields.refuse("name", "is used by another guardrail");
    found.push(guardrail);
  }
  return found;
}

function readGuardrail(file: YamlFile, fields: YamlFields, known: ReadonlySet<string>): GuardrailSettings | undefined {
  const name = fields.text("name", { pattern: names, saying: "must be lower-case letters, digits, dots and hyphens" });
  const on = fields.has("on") ? fields.oneOf("on", ["input", "output", "both"]) : "both";
  const kind = fields.oneOf("kind", ["detector", "http"]);
  const action = fields.oneOf("action", ["block", "redact", "warn"]);
  const onFailure = fields.has("on_failure") ? fields.oneOf("on_failure", ["open", "closed"]) : "closed";
  const timeoutMs = fields.integerOr("timeout_ms", 1000, { min: 5, max: 60_000 });
  const models = readNames(file, fields, {
    field: "models",
    isKnown: (one) => known.has(one) || isBuiltIn(one),
    what: "a model or route",
  });
  const isOrganization = (one: string): boolean => uuidOf("organization", one) !== undefined;
  const organizations = readNames(file, fields, {
    field: "organizations",
    isKnown: isOrganization,
    what: "the id of an organization",
  });
  const special = kind === "http" ? readHttp(file, fields) : readDetector(file, fields);
  if (!name || !on || !kind || !action || !onFailure || !special) return undefined;
  return { name, on, action, onFailure, timeoutMs, models, organizations, ...special };
}

/** What a gateway offers without being told. */
function isBuiltIn(name: string): boolean {
  return name.startsWith("embedded-") || name.startsWith("use-lite-") || name.startsWith("local/");
}

function readDetector(file: YamlFile, fields: YamlFields): Pick<DetectorSettings, "kind" | "detects"> {
  if (!fields.has("detects")) return { kind: "detector", detects: [...secretKinds, ...piiKinds] };
  const every: readonly FindingKind[] = [...secretKinds, ...piiKinds];
  const detects = textsOf(file, fields, "detects").flatMap((one): readonly FindingKind[] => {
    const kinds = families[one] ?? every.filter((kind) => kind === one);
    if (kinds.length === 0) fields.refuse("detects", `must hold some of secrets, pii, ${every.join(", ")}`);
    return kinds;
  });
  return { kind: "detector", detects: [...new Set(detects)] };
}

function readHttp(file: YamlFile, fields: YamlFields): Omit<HttpGuardrailSettings, keyof GuardrailCommon> | undefined {
  const allowsPrivateNetwork = fields.flagOr("allow_private_network", false);
  const url = readUrl(fields, allowsPrivateNetwork);
  const env = fields.optionalText("secret_env", {
    pattern: /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
    saying: "must be the name of an environment variable, not a secret",
  });
  const path = fields.optionalText("secret_file");
  if (fields.has("secret_env") === fields.has("secret_file"))
    fields.refuse(
      fields.has("secret_env") ? "secret_file" : "secret_env",
      "or the other: one of secret_env and secret_file is required",
    );
  const maxBytes = fields.integerOr("max_bytes", 1024 * 1024, { min: 1024, max: 64 * 1024 * 1024 });
  const maxConcurrent = fields.integerOr("max_concurrent", 100, { min: 1, max: 10_000 });
  const secret = env === undefined ? path && { file: path } : { env };
  const fault = secret && file.faultOfSecret?.(secret);
  if (fault) fields.refuse(env === undefined ? "secret_file" : "secret_env", `names a secret that ${fault}`);
  return url && secret ? { kind: "http", url, allowsPrivateNetwork, secret, maxBytes, maxConcurrent } : undefined;
}

/** The rules of providers' addresses. */
function readUrl(fields: YamlFields, allowsPrivateNetwork: boolean): string | undefined {
  const text = fields.text("url");
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return fields.refuse("url", "must be a URL starting with https:// or http://");
  }
  if (url.username !== "" || url.password !== "") return fields.refuse("url", "must not hold a user name or password");
  if (!allowsPrivateNetwork && (isPrivateHost(url.hostname) || url.protocol === "http:")) {
    return fields.refuse("url", "must be https:// at a public address: set allow_private_network if something else is meant");
  }
  return url.href;
}

interface NamesRule {
  field: string;
  isKnown: (name: string) => boolean;
  what: string;
}

function readNames(file: YamlFile, fields: YamlFields, { field, isKnown, what }: NamesRule): string[] | undefined {
  if (!fields.has(field)) return undefined;
  const found = textsOf(file, fields, field);
  // One that is mistyped would guard nothing, and nobody would know.
  for (const name of found) if (!isKnown(name)) fields.refuse(field, `${name} is not ${what}`);
  return found;
}

function textsOf(file: YamlFile, fields: YamlFields, field: string): string[] {
  const node: Node | null | undefined = fields.child(field);
  const items = itemsOf(file, node, `${fields.path}.${field}`);
  if (items.length === 0) fields.refuse(field, "must not be empty");
  return items.flatMap((item) => {
    const text = scalarSource(item);
    if (text === undefined) fields.refuse(field, "must hold texts");
    return text === undefined ? [] : [text];
  });
}
