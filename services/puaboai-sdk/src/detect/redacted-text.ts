import type { Finding, FindingKind } from "./finding.ts";

/** What stands in the place of a finding: `[EMAIL]`. */
export function markOf(kind: FindingKind): string {
  return `[${kind.toUpperCase()}]`;
}

/** Each finding gives way to its mark. */
export function redactedText(text: string, findings: readonly Finding[]): string {
  let out = "";
  let at = 0;
  for (const { kind, start, end } of findings) {
    out += text.slice(at, start) + markOf(kind);
    at = end;
  }
  return out + text.slice(at);
}
