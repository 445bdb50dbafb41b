/** JSON as the runtime's own parser made it, of whatever shape: what stands in it is never a fault, at most absent. */

export type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What the names lead to; JSON null counts as absent. */
export function memberOf(value: unknown, ...path: string[]): unknown {
  let found = value;
  for (const name of path) {
    if (!isJsonObject(found) || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  return found ?? undefined;
}

export function textOf(value: unknown, ...path: string[]): string | undefined {
  const found = memberOf(value, ...path);
  return typeof found === "string" ? found : undefined;
}

export function listOf(value: unknown, ...path: string[]): unknown[] {
  const found = memberOf(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** The object with its absent members left out, as JSON has no `undefined`. */
export function present(members: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** The object that a JSON text holds; `undefined` where it holds none. */
export function parsedObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
