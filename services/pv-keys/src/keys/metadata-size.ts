/** How much room metadata takes where it is kept, found out before PostgreSQL has to refuse it. */

const deepest = 20;

/**
 * Bytes of the value as PostgreSQL writes jsonb: `, ` and `: ` between members, numbers without an exponent
 * (`1e300` takes 301 bytes). `undefined` for what it cannot hold: nesting beyond 20, halves of surrogate pairs,
 * and numbers that were too large for us to read (`1e400`), of which nothing but `null` would be left.
 */
export function storedJsonBytes(value: unknown, depth = 0): number | undefined {
  if (depth > deepest) return undefined;
  if (typeof value === "string") return value.isWellFormed() ? Buffer.byteLength(JSON.stringify(value)) : undefined;
  if (typeof value === "number") return numberBytes(value);
  if (typeof value !== "object" || value === null) return String(value).length;
  const parts = Array.isArray(value)
    ? value.map((item) => storedJsonBytes(item, depth + 1))
    : Object.entries(value).map(([name, item]) => sum([storedJsonBytes(name), 2, storedJsonBytes(item, depth + 1)]));
  return sum([...parts, 2 * Math.max(1, parts.length)]);
}

function numberBytes(value: number): number | undefined {
  if (!Number.isFinite(value)) return undefined;
  const text = String(value);
  const exponent = /e[+-](\d+)$/.exec(text)?.[1];
  return text.length + Number(exponent ?? 0);
}

function sum(parts: readonly (number | undefined)[]): number | undefined {
  let total = 0;
  for (const part of parts) {
    if (part === undefined) return undefined;
    total += part;
  }
  return total;
}
