/** Reads what was set by API with the code that reads gateway.yaml, so that both mean the same. */
import type { FieldError } from "@nexus/core";
import type { Node } from "yaml";
import { pointerOf } from "../json/pointers.ts";
import { type GatewaySettings, type ModelSettings, readModels, type ReadTools } from "../settings/gateway-settings.ts";
import { type ProviderSettings, readProviders } from "../settings/provider-settings.ts";
import { readRoutes, type RouteSettings } from "../settings/route-settings.ts";
import { fieldsOf, parseYamlFile, type SettingsFault, type YamlFile } from "../settings/yaml-fields.ts";
import type { Entry } from "./entry.ts";

type Written = Pick<Entry, "kind" | "name" | "document">;
type Read = { provider?: ProviderSettings; model?: ModelSettings; route?: RouteSettings } | { faults: FieldError[] };

/** What a person may say in gateway.yaml and not by API: files and variables of ours are the operator's to show to a provider. */
const ownVariable = /^(?:NEXUS_|DB_|PG|POSTGRES|REDIS_|PV_|PUABO|NODE_|PORT$|PATH$|HOME$)/;
const secretHeader = /key|token|secret|password|auth|cookie/i;

/** @param settings of everything that it may name */
export function readEntry(entry: Written, settings: GatewaySettings, tools: ReadTools): Read {
  const clash = clashOf(entry, settings);
  if (clash !== undefined) return { faults: [{ pointer: "", detail: clash }] };
  const file: YamlFile = { ...parseYamlFile(textOf(entry)), ...tools };
  const read = file.faults.length > 0 ? {} : readNode(file, entry, settings);
  if (entry.kind === "provider") refuseOwn(file, entry);
  if (entry.kind === "model" && entry.document["id"] !== undefined)
    file.refuse(file.root, "models[0].id", "is told by the address");
  if (file.faults.length === 0) return read;
  return { faults: file.faults.map((fault) => fieldErrorOf(fault, entry)) };
}

/** JSON is YAML (YAML 1.2.2 §1.3). */
function textOf({ kind, name, document }: Written): string {
  if (kind === "model") return JSON.stringify({ models: [{ ...document, id: name }] });
  return JSON.stringify({ [`${kind}s`]: { [name]: document } });
}

function clashOf({ kind, name }: Written, { providers, models, routes, path }: GatewaySettings): string | undefined {
  const where = path === undefined ? "the configuration" : "gateway.yaml";
  if (kind === "provider") return providers.some((one) => one.name === name) ? `is a provider of ${where}` : undefined;
  // Clients call both by name.
  if (models.some(({ id }) => id === name)) return `is a model of ${where}`;
  return routes.some(({ id }) => id === name) ? `is a route of ${where}` : undefined;
}

function readNode(file: YamlFile, { kind }: Written, { providers, models }: GatewaySettings): Exclude<Read, { faults: unknown }> {
  const child = fieldsOf(file, file.root, "")?.child(`${kind}s`) as Node | undefined;
  if (kind === "provider") return optional("provider", readProviders(file, child)[0]);
  if (kind === "route") return optional("route", readRoutes(file, child, { models })[0]);
  const declared = new Set(providers.map(({ name }) => name));
  return optional("model", readModels(file, child, { providers, declared })[0]);
}

function optional<K extends string, T>(name: K, value: T | undefined): Partial<Record<K, T>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, T>);
}

function refuseOwn(file: YamlFile, { name, document }: Written): void {
  const path = `providers.${name}`;
  if (document["api_key_file"] !== undefined)
    file.refuse(file.root, `${path}.api_key_file`, "can be told in gateway.yaml only; by API use api_key_secret or api_key_env");
  const variable = document["api_key_env"];
  if (typeof variable === "string" && ownVariable.test(variable))
    file.refuse(file.root, `${path}.api_key_env`, "is a variable of the platform's own, which no provider may be shown");
  for (const header of Object.keys(document["headers"] ?? {})) {
    if (secretHeader.test(header))
      file.refuse(file.root, `${path}.headers.${header}`, "looks like a secret: name it in api_key_secret, with auth_header");
  }
}

function fieldErrorOf({ path, detail }: SettingsFault, { kind, name }: Written): FieldError {
  const prefix = kind === "model" ? "models[0]" : `${kind}s.${name}`;
  return { pointer: pointerOf(path.startsWith(prefix) ? path.slice(prefix.length) : path), detail };
}
