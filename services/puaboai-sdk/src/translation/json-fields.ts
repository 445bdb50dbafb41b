import { Problem } from "@nexus/core";
import { isJsonObject, type JsonObject } from "../json/members.ts";

/** Reads the members of one JSON object, each by its type; JSON null counts as absent. Remembers which were looked at. */
export interface JsonFields {
  readonly pointer: string;
  /** Any value but null. */
  any(name: string): unknown;
  /** @throws Problem `invalid_request` where it is none, as do the others */
  text(name: string): string | undefined;
  requiredText(name: string): string;
  number(name: string): number | undefined;
  flag(name: string): boolean | undefined;
  object(name: string): JsonFields | undefined;
  /** The value of an object that goes on as it is, such as a JSON schema. */
  opaque(name: string): JsonObject | undefined;
  objects(name: string): JsonFields[];
  texts(name: string): string[];
  /** A text, or objects: what both OpenAI and Anthropic write for content. */
  textOrObjects(name: string): string | JsonFields[] | undefined;
  /** JSON pointers to the members that nobody looked at. */
  unread(): string[];
}

export function refusal(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", undefined, { errors: [{ pointer, detail }] });
}

/**
 * Reading an object takes microseconds, and three bytes are enough for one: a body full of them would hold up everybody else.
 * The longest conversations have a few thousand.
 */
const mostObjects = 20_000;

/** @param pointer of the object, by RFC 6901; @param room how many objects the whole request may still hold */
export function jsonFields(value: JsonObject, pointer = "", room = { left: mostObjects }): JsonFields {
  const seen = new Set<string>();
  const at = (name: string) => `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
  const any = (name: string) => {
    seen.add(name);
    return Object.hasOwn(value, name) ? (value[name] ?? undefined) : undefined;
  };
  function read<T>(name: string, is: (found: unknown) => found is T, detail: string): T | undefined {
    const found = any(name);
    if (found === undefined || is(found)) return found;
    throw refusal(at(name), detail);
  }
  const opaque = (name: string) => read(name, isJsonObject, "must be an object");
  const text = (name: string) => read(name, isText, "must be a text");
  const list = (name: string) => read(name, isList, "must be a list") ?? [];
  const objectsIn = (name: string, found: unknown[]) => {
    room.left -= found.length;
    if (room.left < 0) throw refusal(at(name), `is too long: a translated request holds at most ${mostObjects} objects`);
    return found.map((item, index) => {
      if (isJsonObject(item)) return jsonFields(item, `${at(name)}/${index}`, room);
      throw refusal(`${at(name)}/${index}`, "must be an object");
    });
  };
  return {
    pointer,
    any,
    text,
    requiredText(name) {
      const found = text(name);
      if (found === undefined) throw refusal(at(name), "is required");
      return found;
    },
    number: (name) => read(name, isNumber, "must be a number"),
    flag: (name) => read(name, isFlag, "must be true or false"),
    object(name) {
      const found = opaque(name);
      return found && jsonFields(found, at(name), room);
    },
    opaque,
    objects: (name) => objectsIn(name, list(name)),
    texts: (name) =>
      list(name).map((item, index) => {
        if (isText(item)) return item;
        throw refusal(`${at(name)}/${index}`, "must be a text");
      }),
    textOrObjects(name) {
      const found = any(name);
      if (found === undefined || isText(found)) return found;
      if (isList(found)) return objectsIn(name, found);
      throw refusal(at(name), "must be a text or a list");
    },
    unread: () =>
      Object.keys(value)
        .filter((name) => !seen.has(name) && value[name] !== null)
        .map(at),
  };
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isFlag(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value);
}
