/** Reads YAML node by node, so that every fault of a file is told at once and with its line. */
import {
  type Alias,
  type Document,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
} from "yaml";
import type { SecretSource } from "../secrets/read-secrets.ts";

export interface SettingsFault {
  /** `undefined`: it is about the file as a whole, which may not be there. */
  line: number | undefined;
  /** `models[0].kind`; empty: the file. */
  path: string;
  /** What is wrong with it, as the end of a sentence. */
  detail: string;
}

export interface YamlFile {
  root: Node | null;
  /** Adds a fault. */
  refuse(node: Node | null | undefined, path: string, detail: string): undefined;
  faults: SettingsFault[];
  /** Where the secrets of providers can be looked at already: what is wrong with one. */
  faultOfSecret?: ((source: SecretSource) => string | undefined) | undefined;
}

/** A mapping whose fields are read one by one; a field that nobody asked for is a fault. */
export interface YamlFields {
  path: string;
  node: YAMLMap;
  text(name: string, rule?: { pattern?: RegExp; maxLength?: number; saying?: string }): string | undefined;
  optionalText(name: string, rule?: { pattern?: RegExp; maxLength?: number; saying?: string }): string | undefined;
  integer(name: string, range: { min: number; max: number }): number | undefined;
  integerOr(name: string, fallback: number, range: { min: number; max: number }): number;
  flagOr(name: string, fallback: boolean): boolean;
  oneOf<const T extends string>(name: string, values: readonly T[]): T | undefined;
  child(name: string): Node | null | undefined;
  has(name: string): boolean;
  /** Adds a fault; the value of the field is then unknown. */
  refuse(name: string, detail: string): undefined;
  finish(): void;
}

/** `gateway.yaml:12: models[0].kind must be …` */
export function faultText({ line, path, detail }: SettingsFault, fileName: string): string {
  return `${fileName}${line === undefined ? "" : `:${line}`}: ${path}${path === "" ? "" : " "}${detail}`;
}

/** Of a file that is no YAML at all, each further one tells less. */
const mostParserFaults = 20;

/** Where the parser speaks of its own functions. */
const ours: Partial<Record<ErrorCode, string>> = { MULTIPLE_DOCS: "the file holds more than one document (---)" };

function noAliases({ source }: Alias): string {
  return `aliases (*${source}) are not taken: write it out`;
}

export function parseYamlFile(text: string): YamlFile {
  const lines = new LineCounter();
  // Version 1.2 core: `no` is a text, not false. A repeated key is an error of the parser's.
  const document: Document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: "1.2" });
  const faults: SettingsFault[] = [];
  const at = (offset: number | undefined) => (offset === undefined ? 1 : lines.linePos(offset).line);
  for (const error of [...document.errors, ...document.warnings].slice(0, mostParserFaults))
    faults.push({ line: at(error.pos[0]), path: "", detail: ours[error.code] ?? error.message });
  // An alias stands for what is written elsewhere: who reads the line does not see what holds.
  if (faults.length === 0)
    visit(document, {
      Alias: (_key, alias) => void faults.push({ line: at(alias.range?.[0]), path: "", detail: noAliases(alias) }),
    });
  return {
    root: document.contents,
    faults,
    refuse: (node, path, detail) => {
      faults.push({ line: at(node?.range?.[0]), path, detail: path === "" ? `the file ${detail}` : detail });
      return undefined;
    },
  };
}

/** The fields of a mapping, or `undefined` and a fault when the node is none. */
export function fieldsOf(file: YamlFile, node: Node | null | undefined, path: string): YamlFields | undefined {
  if (!isMap(node)) {
    file.refuse(node, path, "must be a mapping of fields");
    return undefined;
  }
  const unread = new Map(node.items.map((pair) => [keyOf(pair as Pair<Node, Node | null>), pair as Pair<Node, Node | null>]));
  const all = new Map(unread);
  const pathOf = (name: string) => (path === "" ? name : `${path}.${name}`);
  const refuse = (name: string, detail: string): undefined =>
    file.refuse(all.get(name)?.value ?? all.get(name)?.key ?? node, pathOf(name), detail);
  const child = (name: string) => {
    unread.delete(name);
    return all.get(name)?.value;
  };
  const source = (name: string) => scalarSource(child(name));

  const fields: YamlFields = {
    path,
    node,
    child,
    refuse,
    has: (name) => all.has(name),
    optionalText: (name, rule) => (all.has(name) ? fields.text(name, rule) : undefined),
    text(name, rule = {}) {
      const value = source(name);
      if (value === undefined) return refuse(name, all.has(name) ? "must be a text" : "is required");
      if (value.length > (rule.maxLength ?? 1024)) return refuse(name, "is too long");
      if (rule.pattern && !rule.pattern.test(value)) return refuse(name, rule.saying ?? `must match ${rule.pattern.source}`);
      return value;
    },
    integer(name, { min, max }) {
      const value = source(name);
      if (value === undefined && !all.has(name)) return refuse(name, "is required");
      const number = /^\d{1,15}$/.test(value ?? "") ? Number(value) : Number.NaN;
      if (!(number >= min && number <= max)) return refuse(name, `must be a whole number from ${min} to ${max}`);
      return number;
    },
    integerOr: (name, fallback, range) => (all.has(name) ? (fields.integer(name, range) ?? fallback) : fallback),
    flagOr(name, fallback) {
      if (!all.has(name)) return fallback;
      const value = source(name);
      if (value !== "true" && value !== "false") refuse(name, "must be true or false");
      return value === "true";
    },
    oneOf(name, values) {
      const value = source(name);
      const found = values.find((candidate) => candidate === value);
      if (found === undefined)
        refuse(name, all.has(name) ? `must be one of ${values.join(", ")}` : `is required: one of ${values.join(", ")}`);
      return found;
    },
    finish() {
      for (const [name, pair] of unread) file.refuse(pair.key, pathOf(name), "is not a known field");
    },
  };
  return fields;
}

/** The items of a list, or none and a fault when the node is no list. */
export function itemsOf(file: YamlFile, node: Node | null | undefined, path: string): Node[] {
  if (!isSeq(node)) {
    file.refuse(node, path, "must be a list");
    return [];
  }
  return node.items as Node[];
}

/** Names and values of a mapping whose names are free. */
export function entriesOf(file: YamlFile, node: Node | null | undefined, path: string): [string, Node | null | undefined][] {
  if (!isMap(node)) {
    file.refuse(node, path, "must be a mapping");
    return [];
  }
  return (node.items as Pair<Node, Node | null>[]).map((pair) => [keyOf(pair), pair.value]);
}

/** A scalar as it is written, so that `2.50` never passes through a float; `undefined` for null, aliases and collections. */
export function scalarSource(node: Node | null | undefined): string | undefined {
  if (!isScalar(node) || isAlias(node) || node.value === null) return undefined;
  if (typeof node.value === "string") return node.value;
  return node.source;
}

function keyOf(pair: Pair<Node, Node | null>): string {
  return scalarSource(pair.key) ?? "";
}
