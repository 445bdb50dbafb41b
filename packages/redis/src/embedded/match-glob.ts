/** Redis's patterns: `*`, `?`, `[a-z]`, `[^a]`, `\` before a literal. Never more than pattern × text steps. */
export function matchGlob(pattern: string, text: string): boolean {
  let at = 0;
  let position = 0;
  /** Where to go back to: one more character for the last star. */
  let star: { at: number; position: number } | undefined;
  while (position < text.length) {
    if (pattern[at] === "*") {
      star = { at: at + 1, position };
      at += 1;
      continue;
    }
    const next = matchOne(pattern, at, text.charAt(position));
    if (next !== undefined) {
      at = next;
      position += 1;
      continue;
    }
    if (!star) return false;
    star.position += 1;
    ({ at, position } = star);
  }
  while (pattern[at] === "*") at += 1;
  return at >= pattern.length;
}

/** @returns the place after the element at `at`, or `undefined` when it does not match */
function matchOne(pattern: string, at: number, character: string): number | undefined {
  const element = pattern[at];
  if (element === undefined) return undefined;
  if (element === "?") return at + 1;
  if (element === "[") return matchClass(pattern, at + 1, character);
  if (element === "\\" && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : undefined;
  return element === character ? at + 1 : undefined;
}

function matchClass(pattern: string, start: number, character: string): number | undefined {
  const negated = pattern[start] === "^";
  let at = negated ? start + 1 : start;
  let matched = false;
  while (at < pattern.length && pattern[at] !== "]") {
    if (pattern[at] === "\\" && at + 1 < pattern.length) {
      at += 1;
      matched ||= pattern[at] === character;
    } else if (pattern[at + 1] === "-" && at + 2 < pattern.length) {
      const [from = "", to = ""] = [pattern.charAt(at), pattern.charAt(at + 2)].toSorted();
      matched ||= character >= from && character <= to;
      at += 2;
    } else {
      matched ||= pattern[at] === character;
    }
    at += 1;
  }
  return matched === negated ? undefined : at + 1;
}
