/** What a validator found, in words for whoever sent the request. */
import { printable } from "@nexus/contracts/common";
import type { FieldError } from "@nexus/core";
import type { TSchema } from "typebox";

interface SchemaFault {
  keyword: string;
  /** Where in the schema: a JSON pointer with `#` before it. */
  schemaPath: string;
  instancePath: string;
  params: object;
  message: string;
}

/** The first fault of each field, by its place: a pointer into a body, `?name` of a query, a header's name. */
export function describeFaults(schema: TSchema, faults: readonly SchemaFault[], httpPart: string | undefined): FieldError[] {
  const found = new Map<string, string>();
  for (const fault of faults) {
    for (const { pointer, detail } of describeFault(schema, fault, faults)) {
      const name = unescapePointer(pointer.slice(1));
      const shown = httpPart === "body" ? pointer : httpPart === "headers" ? name : `?${name}`;
      if (!found.has(shown)) found.set(shown, detail);
    }
  }
  return Array.from(found, ([pointer, detail]) => ({ pointer, detail }));
}

interface Params {
  requiredProperties?: string[];
  additionalProperties?: string[];
  allowedValue?: unknown;
  type?: string;
  pattern?: string;
}

function describeFault(schema: TSchema, fault: SchemaFault, all: readonly SchemaFault[]): FieldError[] {
  const params = fault.params as Params;
  const here = (detail: string): FieldError[] => [{ pointer: fault.instancePath, detail }];
  const below = (names: readonly string[], detail: string): FieldError[] =>
    names.map((name) => ({ pointer: `${fault.instancePath}/${escapePointer(name)}`, detail }));
  /** A value that may be one of several meets a fault for each of them. */
  const alternatives = (told: (of: Params) => unknown): unknown[] =>
    all
      .filter(({ keyword, instancePath }) => keyword === fault.keyword && instancePath === fault.instancePath)
      .map((other) => told(other.params as Params));
  switch (fault.keyword) {
    case "required":
      return below(params.requiredProperties ?? [], "is required");
    case "additionalProperties":
      return below(params.additionalProperties ?? [], "is not a known field");
    case "boolean":
      return here("is not a known field");
    case "const":
      return here(oneOf(alternatives(({ allowedValue }) => allowedValue)));
    case "type":
      return here(`must be ${alternatives(({ type }) => type).join(" or ")}`);
    case "pattern":
      return here(mustOf(schema, fault, params.pattern));
    default:
      return here(fault.message);
  }
}

function oneOf(values: readonly unknown[]): string {
  const shown = [...new Set(values.map(String))];
  return shown.length === 1 ? `must be ${shown[0]}` : `must be one of ${shown.join(", ")}`;
}

/** A pattern is for programs: what the schema says beside it (`x-must`) is for people. */
function mustOf(schema: TSchema, { schemaPath, message }: SchemaFault, pattern: string | undefined): string {
  if (pattern === printable) return "must hold no control characters";
  const part = schemaPath
    .split("/")
    .slice(1)
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[unescapePointer(name)], schema);
  const must = (part as { "x-must"?: string } | undefined)?.["x-must"];
  return must === undefined ? message : `must ${must}`;
}

/** RFC 6901 §3. */
export function escapePointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function unescapePointer(pointer: string): string {
  return pointer.replaceAll("~1", "/").replaceAll("~0", "~");
}
