/** Scopes are `area:action`; `*` stands for a whole segment, and a lone `*` for everything. */
export const scopePattern = /^(?:\*|[a-z]+:(?:\*|[a-z_]+))$/;

/** True when one of the scopes held allows the one needed. */
export function allowsScope(held: readonly string[], needed: string): boolean {
  const area = needed.slice(0, needed.indexOf(":"));
  return held.some((scope) => scope === needed || scope === "*" || scope === `${area}:*`);
}
