/** PostgreSQL stores no U+0000 in text: refused at the door, by name, instead of failing at the first INSERT. */
import type { Problem } from "@nexus/core";
import { escapePointer } from "./describe-faults.ts";
import { invalidRequest } from "./request-schema.ts";

/** Nested deeper than any schema of ours. */
const deepest = 200;

/** @param text the body as it came; `body` the same, parsed */
export function refuseNul(text: string, body: unknown): Problem | null {
  // In JSON the character can only stand escaped, so the usual body costs one search.
  if (!text.includes("\\u0000")) return null;
  const pointer = pointerToNul(body, "", 0);
  return pointer === undefined ? null : invalidRequest([{ pointer, detail: "holds U+0000, which no text here may" }]);
}

function pointerToNul(value: unknown, at: string, depth: number): string | undefined {
  if (typeof value === "string") return value.includes("\u0000") ? at : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth > deepest) return at;
  for (const [name, member] of Object.entries(value)) {
    if (name.includes("\u0000")) return at;
    const found = pointerToNul(member, `${at}/${escapePointer(name)}`, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
