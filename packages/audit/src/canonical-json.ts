/**
 * JSON Canonicalization Scheme, RFC 8785: one byte sequence for one value, so that a hash over it means something.
 * Numbers and string escapes are ECMAScript's own (§3.2.2), members are sorted by UTF-16 code units (§3.2.3).
 */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json | undefined };

/**
 * The canonical text of a value. Members that are `undefined` are left out, as `JSON.stringify` does.
 * @throws TypeError on what I-JSON (RFC 7493) cannot carry: NaN, infinities, lone surrogates, `undefined` in an array
 */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError("a number that is not finite has no JSON form");
    return JSON.stringify(value);
  }
  if (typeof value === "string") return canonicalString(value);
  if (isList(value)) return `[${value.map((item) => canonicalJson(item)).join(",")}]`;
  if (typeof value !== "object") throw new TypeError(`a ${typeof value} has no JSON form`);
  const members: string[] = [];
  // The default order of sort() is the one that §3.2.3 asks for; a locale's would not be.
  for (const name of Object.keys(value).toSorted()) {
    const member = value[name];
    if (member !== undefined) members.push(`${canonicalString(name)}:${canonicalJson(member)}`);
  }
  return `{${members.join(",")}}`;
}

function canonicalString(text: string): string {
  if (!text.isWellFormed()) throw new TypeError("a lone surrogate has no UTF-8 form");
  return JSON.stringify(text);
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
