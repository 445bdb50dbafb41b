/** `gateway.yaml`: the providers and models of an installation, checked as a whole before anything starts. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Field } from "@nexus/config";
import { isMap, isSeq, type Node } from "yaml";
import type { CacheBounds } from "../cache/answer-entries.ts";
import { type CacheRule, readCacheBounds, readCacheRule, usualBounds } from "../cache/cache-settings.ts";
import { type Capabilities, capabilityNames, capabilitiesOf } from "../catalogue/capabilities.ts";
import { type ModelKind, modelKindNames, mayWriteTokens, writesTokens } from "../catalogue/model-kind.ts";
import { type GuardrailSettings, readGuardrails } from "../guardrails/guardrail-settings.ts";
import { type DatedPrice, type ModelPrice, readDatedPrices } from "./dated-prices.ts";
import { findListedModel, type ListedModel } from "./listed-models.ts";
import type { Price } from "./price.ts";
import { type ProviderSettings, readProviders } from "./provider-settings.ts";
import { readPrice } from "./read-price.ts";
import { readClamp, readRoutes, type RouteSettings } from "./route-settings.ts";
import {
  faultText,
  fieldsOf,
  itemsOf,
  parseYamlFile,
  scalarSource,
  type SettingsFault,
  type YamlFields,
  type YamlFile,
} from "./yaml-fields.ts";

export interface ModelSettings {
  /** The name clients call. */
  id: string;
  provider: string;
  /** The provider's name of it. */
  upstreamModel: string;
  kind: ModelKind;
  /** Longest input and output together, tokens. */
  contextTokens: number;
  /** Input that the provider surely never takes more of, as a list says; absent: `contextTokens` is only what the file says. */
  longestInput?: number | undefined;
  /** Longest answer, tokens, or one image's; 0 where none are written. */
  maxOutputTokens: number;
  /** Longest sound, seconds, of a model that listens. */
  maxSeconds?: number | undefined;
  /** Of a chat model. */
  capabilities?: Capabilities | undefined;
  price: ModelPrice;
  /** What the file says of later moments, in their order. */
  datedPrices?: DatedPrice[] | undefined;
  /** Its answers are kept. */
  cache?: CacheRule | undefined;
  /** A call that a budget does not cover whole may be made with a lower output cap. */
  clampsOutput?: boolean | undefined;
}

export interface GatewaySettings {
  providers: ProviderSettings[];
  models: ModelSettings[];
  routes: RouteSettings[];
  /** How much room kept answers may take. */
  cacheBounds: CacheBounds;
  /** What calls and answers go through, in this order. */
  guardrails: GuardrailSettings[];
  /** Where it was read; absent: there is no file. */
  path?: string | undefined;
}

const noSettings: GatewaySettings = { providers: [], models: [], routes: [], cacheBounds: usualBounds, guardrails: [] };

const modelId = /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$/;
const largestFile = 4 * 1024 * 1024;

/** Why a file is refused, as a whole. */
export class RefusedSettings extends Error {
  readonly faults: readonly SettingsFault[];
  /** Without its folder. */
  readonly fileName: string;

  constructor(fileName: string, faults: readonly SettingsFault[]) {
    const count = faults.length;
    const lines = faults.map((fault) => `    ${faultText(fault, fileName)}`).join("\n");
    super(`has ${count} fault${count === 1 ? "" : "s"}:\n${lines}`);
    this.name = "RefusedSettings";
    this.fileName = fileName;
    this.faults = faults;
  }
}

/** Reads and checks a file. @throws Error, `RefusedSettings` when it could be read */
export function readGatewaySettings(path: string, tools: ReadTools = {}): GatewaySettings {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const { code = "unknown error" } = cause as NodeJS.ErrnoException;
    throw new Error(code === "ENOENT" ? "is not there (ENOENT)" : `cannot be read (${code})`, { cause });
  }
  if (tools.refusesNothing && text.trim() === "") throw new Error("is empty; write {} if that is meant");
  if (text.length > largestFile) throw new Error("is larger than 4 MiB");
  return parseGatewaySettings(text, basename(path), tools);
}

/** What is at hand to look closer. */
export interface ReadTools {
  faultOfSecret?: YamlFile["faultOfSecret"];
  /** Nothing at all in the file is a fault: it was cut off, and nobody has written that nothing is meant. */
  refusesNothing?: boolean;
}

/** @throws RefusedSettings with every fault and its line @internal */
export function parseGatewaySettings(text: string, fileName: string, tools: ReadTools = {}): GatewaySettings {
  const file: YamlFile = { ...parseYamlFile(text), ...tools };
  const settings = file.faults.length > 0 ? noSettings : readRoot(file);
  if (file.faults.length === 0) return settings;
  throw new RefusedSettings(fileName, file.faults);
}

/** The configuration field that names the file: it is checked together with all other fields. */
export const gatewayConfigField: Field<GatewaySettings> = {
  doc: "path of gateway.yaml: providers, models and prices; without it only the embedded models answer",
  fallback: { value: noSettings, shown: "—" },
  secret: false,
  parse: (path) => {
    try {
      return { ...readGatewaySettings(path), path };
    } catch (fault) {
      throw new Error(`(${path}) ${(fault as Error).message}`, { cause: fault });
    }
  },
};

function readRoot(file: YamlFile): GatewaySettings {
  // An empty file is an installation with embedded models only.
  if (file.root === null) return noSettings;
  const fields = fieldsOf(file, file.root, "");
  if (!fields) return noSettings;
  const providers = fields.has("providers") ? readProviders(file, fields.child("providers")) : [];
  const declared = new Set(providerNames(fields));
  const models = fields.has("models") ? readModels(file, fields.child("models"), { providers, declared }) : [];
  const faulty = faultyNames(fields.child("models"), models);
  if (fields.has("prices"))
    readDatedPrices(file, fields, { models, faulty, writesWhenAsked: (model) => writesWhenAsked(providers, model.provider) });
  const routes = fields.has("routes") ? readRoutes(file, fields.child("routes"), { models, faulty }) : [];
  const cacheBounds = readCacheBounds(file, fields);
  const guardrails = readGuardrails(file, fields, new Set([...[...models, ...routes].map(({ id }) => id), ...faulty]));
  fields.finish();
  return { providers, models, routes, cacheBounds, guardrails };
}

interface KnownProviders {
  providers: readonly ProviderSettings[];
  /** Their names, those with faults of their own among them. */
  declared: ReadonlySet<string>;
}

export function readModels(file: YamlFile, list: Node | null | undefined, known: KnownProviders): ModelSettings[] {
  const models: ModelSettings[] = [];
  for (const [index, node] of itemsOf(file, list, "models").entries()) {
    const fields = fieldsOf(file, node, `models[${index}]`);
    if (!fields) continue;
    const model = readModel(file, fields, known);
    fields.finish();
    if (!model) continue;
    if (models.some((other) => other.id === model.id)) fields.refuse("id", "is used by another model");
    models.push(model);
  }
  return models;
}

/** As written, so that a provider with a fault of its own does not make its models faulty too. */
function providerNames(root: YamlFields): string[] {
  const node = root.child("providers") as (Node & { items?: { key: { value?: unknown } }[] }) | undefined;
  return (node?.items ?? []).map((pair) => String(pair.key.value));
}

/** Ids that stand in the file and name no model that could be read. */
function faultyNames(list: Node | null | undefined, models: readonly ModelSettings[]): Set<string> {
  const written = isSeq(list) ? list.items.flatMap((item) => (isMap(item) ? [String(item.get("id"))] : [])) : [];
  const read = new Set(models.map(({ id }) => id));
  return new Set(written.filter((id) => !read.has(id)));
}

function readModel(file: YamlFile, fields: YamlFields, { providers, declared }: KnownProviders): ModelSettings | undefined {
  const id = fields.text("id", { pattern: modelId });
  const provider = fields.text("provider");
  if (provider !== undefined && !declared.has(provider)) fields.refuse("provider", "is none of the providers above");
  const upstreamModel = fields.optionalText("upstream_model", { maxLength: 200 }) ?? id;
  const kind = fields.oneOf("kind", modelKindNames);
  const spoken = providers.find(({ name }) => name === provider);
  const listed = kind === "chat" && upstreamModel !== undefined ? findListedModel(spoken?.baseUrl, upstreamModel) : undefined;
  const listedContext = fields.has("context_tokens") ? undefined : listed?.contextTokens;
  const contextTokens = listedContext ?? fields.integer("context_tokens", { min: 1, max: 100_000_000 });
  const maxOutputTokens = readMaxOutput(fields, kind, listed);
  const price =
    readListedPrice(fields, listed) ?? readPrice(file, fields, { kind, writesWhenAsked: writesWhenAsked(providers, provider) });
  const cache = readCacheRule(file, fields);
  const clampsOutput = readClamp(fields, kind);
  const capabilities = readCapabilities(file, fields, kind) ?? listed?.capabilities;
  if (!id || !provider || !upstreamModel || !kind || !contextTokens || maxOutputTokens === undefined || !price) return undefined;
  const longestInput = listed?.contextTokens && Math.max(listed.contextTokens, contextTokens);
  const maxSeconds = readMaxSeconds(fields, kind, price);
  refuseUnboundedOutput(fields, price, { kind, maxOutputTokens });
  return {
    id,
    provider,
    upstreamModel,
    kind,
    contextTokens,
    longestInput,
    maxOutputTokens,
    maxSeconds,
    capabilities,
    price,
    cache,
    clampsOutput,
  };
}

/** What is billed by the minute has no other bound. */
function readMaxSeconds(fields: YamlFields, kind: ModelKind, price: ModelSettings["price"]): number | undefined {
  if (fields.has("max_seconds") && kind !== "transcriptions") return fields.refuse("max_seconds", `has no meaning for ${kind}`);
  const isNeeded = kind === "transcriptions" && typeof price !== "string" && (price.fees?.minute ?? 0n) > 0n;
  return isNeeded || fields.has("max_seconds") ? fields.integer("max_seconds", { min: 1, max: 86_400 }) : undefined;
}

function refuseUnboundedOutput(
  fields: YamlFields,
  price: ModelSettings["price"],
  { kind, maxOutputTokens }: { kind: ModelKind; maxOutputTokens: number },
): void {
  if (writesTokens(kind) || !mayWriteTokens(kind) || maxOutputTokens > 0 || typeof price === "string" || price.output === 0n)
    return;
  fields.refuse("max_output_tokens", "is required where the output costs something");
}

function readMaxOutput(fields: YamlFields, kind: ModelKind | undefined, listed: ListedModel | undefined): number | undefined {
  if (listed && !fields.has("max_output_tokens")) return listed.maxOutputTokens;
  const hasOutput = (kind !== undefined && writesTokens(kind)) || fields.has("max_output_tokens");
  const tokens = hasOutput ? fields.integer("max_output_tokens", { min: 1, max: 10_000_000 }) : 0;
  if (kind !== undefined && !mayWriteTokens(kind) && fields.has("max_output_tokens"))
    fields.refuse("max_output_tokens", `has no meaning for ${kind}`);
  return tokens;
}

function readCapabilities(file: YamlFile, fields: YamlFields, kind: ModelKind | undefined): Capabilities | undefined {
  if (!fields.has("capabilities")) return undefined;
  if (kind !== undefined && kind !== "chat") fields.refuse("capabilities", `has no meaning for ${kind}`);
  const path = `${fields.path}.capabilities`;
  const names = itemsOf(file, fields.child("capabilities"), path).flatMap((item) => {
    const name = capabilityNames.find((one) => one === scalarSource(item));
    if (name === undefined) file.refuse(item, path, `must hold some of ${capabilityNames.join(", ")}`);
    return name === undefined ? [] : [name];
  });
  return capabilitiesOf(names);
}

/** Of a model that is listed and has no price of its own, or asks for the listed one in so many words. */
function readListedPrice(fields: YamlFields, listed: ListedModel | undefined): Price | undefined {
  if (!fields.has("price")) return listed?.price;
  return scalarSource(fields.child("price")) === "listed" ? listed?.price : undefined;
}

/** Anthropic's cache holds what a request asks it to hold; others keep what they like. */
function writesWhenAsked(providers: readonly ProviderSettings[], name: string | undefined): boolean {
  return providers.find((provider) => provider.name === name)?.wireFormats.includes("anthropic-messages") === true;
}
