/**
 * How requests are checked. Bodies are taken as they are: "5" is no number, and an unknown field is refused by name.
 * Queries and parameters are text by nature, so their plain scalars are converted first.
 */
import { type FieldError, Problem } from "@nexus/core";
import type { FastifySchemaCompiler } from "fastify";
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { Format } from "typebox/format";
import { Value } from "typebox/value";
import { describeFaults } from "./describe-faults.ts";

interface Properties {
  properties?: Record<string, ScalarSchema>;
}
interface ScalarSchema {
  type?: string;
  items?: ScalarSchema;
}

const isRfc3339 = Format.Get("date-time");

/**
 * RFC 3339 knows moments that `Date` does not: leap seconds, and with an offset the year 10000. Whoever sends one hears of it
 * here, before it is stored and can never be shown again.
 */
Format.Set("date-time", (text) => {
  if (isRfc3339?.(text) !== true) return false;
  const year = new Date(text).getUTCFullYear();
  return year >= 0 && year <= 9999;
});

/** Fastify's door for a validator: one for each route and part of the request. */
export const compileRequestSchema: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  const prepare =
    httpPart === "querystring" || httpPart === "params" ? (value: unknown) => fromText(schema, value) : (value: unknown) => value;
  return (given: unknown) => {
    const value = prepare(given);
    if (validator.Check(value)) return { value };
    // A path that does not fit its pattern names nothing.
    if (httpPart === "params") return { error: new Problem("not_found") };
    const missing = httpPart === "body" && (given === undefined || given === null);
    const errors = missing ? [{ pointer: "", detail: "is required" }] : describeFaults(schema, validator.Errors(value), httpPart);
    return { error: invalidRequest(errors) };
  };
};

/** Checks an answer against its schema before it leaves: a column too many in a row must not become a leak. */
export const compileAnswerSchema = ({ schema, method, url }: { schema: unknown; method: string; url: string }) => {
  const validator = Compile(schema as TSchema);
  return (answer: unknown): string => {
    if (!validator.Check(answer)) {
      const faults = validator.Errors(answer).map((fault) => `${fault.instancePath || "/"} ${fault.message}`);
      throw new Error(`the answer of ${method} ${url} does not fit its schema: ${faults.join("; ")}`);
    }
    return JSON.stringify(answer);
  };
};

/** Says the first fault in the problem's own sentence, and all of them by their place. */
export function invalidRequest(errors: readonly FieldError[]): Problem {
  // Names come from the caller: bounded, so that an answer cannot be made larger than its request.
  const shown = errors.slice(0, 20).map(({ pointer, detail }) => ({ pointer: pointer.slice(0, 200), detail }));
  const [first] = shown;
  return new Problem("invalid_request", first && `${first.pointer || "The body"} ${first.detail}.`, { errors: shown });
}

/** Text → what the schema asks for, where the text says it exactly; anything else stays text and fails its check. */
function fromText(schema: TSchema, value: unknown): unknown {
  const properties = (schema as Properties).properties;
  if (!properties || typeof value !== "object" || value === null) return value;
  // Not by assignment: `__proto__` would set the prototype and pass unseen.
  const converted = Object.fromEntries(
    Object.entries(value).map(([name, text]: [string, unknown]) => {
      const wanted = Object.hasOwn(properties, name) ? properties[name] : undefined;
      return [name, wanted ? scalarFromText(wanted, text) : text];
    }),
  );
  return Value.Default(schema, converted);
}

function scalarFromText(wanted: ScalarSchema, text: unknown): unknown {
  if (wanted.type === "array") {
    const { items } = wanted;
    const list: unknown[] = Array.isArray(text) ? text : [text];
    return items ? list.map((item) => scalarFromText(items, item)) : list;
  }
  if (typeof text !== "string") return text;
  if (wanted.type === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (wanted.type === "number" && /^-?\d{1,15}(?:\.\d{1,15})?$/.test(text)) return Number(text);
  if (wanted.type === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
}
