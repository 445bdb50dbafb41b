/** The kinds of values a configuration can hold. Each field carries the sentence that the configuration table shows. */
import { readFileSync } from "node:fs";
import { isPublishedValue } from "@nexus/core";

/** Turns the text of an environment variable into a value, or throws an `Error` whose message completes "NAME …". */
type Parse<T> = (text: string) => T;

export interface Field<T> {
  readonly doc: string;
  readonly parse: Parse<T>;
  /** Shown in the configuration table; `undefined` means that the variable is required. */
  readonly fallback: { readonly value: T; readonly shown: string } | undefined;
  /** A secret may come from a file named by `NAME_FILE` and is never printed. */
  readonly secret: boolean;
  /** All that it may be, where that is a list. */
  readonly values?: readonly string[];
}

interface Options<T> {
  doc: string;
  default?: T;
}

function field<T>(options: Options<T>, parse: Parse<T>, shown: (value: T) => string = String): Field<T> {
  const has = Object.hasOwn(options, "default");
  return {
    doc: options.doc,
    parse,
    fallback: has ? { value: options.default as T, shown: shown(options.default as T) } : undefined,
    secret: false,
  };
}

export function text(options: Options<string> & { pattern?: RegExp; maxLength?: number }): Field<string> {
  return field(options, (value) => {
    if (value.length > (options.maxLength ?? 1024)) throw new Error("is too long");
    if (options.pattern && !options.pattern.test(value)) throw new Error(`must match ${options.pattern.source}`);
    return value;
  });
}

/** A field that may be absent: absent is `undefined`, and whoever uses it must say what that means. */
export function optional<T>(inner: Field<T>): Field<T | undefined> {
  return { ...inner, fallback: { value: undefined, shown: "—" } };
}

export function integer(options: Options<number> & { min: number; max: number }): Field<number> {
  return field(options, (value) => {
    const number = Number(value);
    if (!/^-?\d+$/.test(value) || number < options.min || number > options.max) {
      throw new Error(`must be a whole number from ${options.min} to ${options.max}`);
    }
    return number;
  });
}

export function port(options: Options<number>): Field<number> {
  return integer({ ...options, min: 1, max: 65_535 });
}

export function flag(options: Options<boolean>): Field<boolean> {
  return field(options, (value) => {
    if (value === "true" || value === "1") return true;
    if (value === "false" || value === "0") return false;
    throw new Error("must be true or false");
  });
}

export function oneOf<const T extends string>(options: Options<T> & { values: readonly T[] }): Field<T> {
  const { values } = options;
  const parse = (value: string): T => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new Error(`must be one of ${values.join(", ")}`);
    return found;
  };
  return { ...field<T>(options, parse), values };
}

/** An absolute URL; its trailing slash is dropped so that paths can be appended. */
export function url(options: Options<string> & { protocols?: readonly string[] }): Field<string> {
  const protocols = options.protocols ?? ["http:", "https:"];
  return field(options, (value) => {
    const parsed = URL.parse(value);
    if (!parsed || !protocols.includes(parsed.protocol)) {
      throw new Error(`must be a URL starting with ${protocols.map((p) => `${p}//`).join(" or ")}`);
    }
    return value.replace(/\/+$/, "");
  });
}

/** A secret: from `NAME`, or from the file named by `NAME_FILE`. Short, published and default values are refused. */
export function secret(options: { doc: string; minLength: number }): Field<string> {
  return {
    doc: options.doc,
    fallback: undefined,
    secret: true,
    parse: (value) => {
      if (isPublishedValue(value)) throw new Error("is a value printed in a public document; make a new one");
      if (value.length < options.minLength) throw new Error(`must have at least ${options.minLength} characters`);
      return value;
    },
  };
}

/** The content of a mounted file, without its last line break. */
export function readSecretFile(path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new Error(`cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown error"})`, { cause });
  }
}
