import { findIn } from "../guardrails/detect/find-in.ts";
import { type FindingKind, secretKinds } from "../guardrails/detect/finding.ts";
import { redactedText } from "../guardrails/detector-guardrail.ts";

const kinds: ReadonlySet<FindingKind> = new Set(secretKinds);

/** A string of JSON, or what the end of the text has left of one. */
const jsonString = /"(?:[^"\\]|\\[^])*(?:"|\\?$)/g;

/** JSON that is told in a string of JSON; tool arguments are one level. */
const mostLevels = 3;

/**
 * Every secret gives way to its kind: `[OPENAI_KEY]`. The text may be JSON that was cut anywhere: what stands in its strings is
 * looked at as it reads, since an escape may hide where a secret begins.
 */
export function maskSecrets(text: string, level = 0): string {
  const inside = text.includes("\\") && level < mostLevels ? text.replace(jsonString, (found) => maskString(found, level)) : text;
  return redactedText(inside, findIn(inside, kinds));
}

function maskString(found: string, level: number): string {
  if (!found.includes("\\")) return found;
  const value = valueOf(found);
  if (value === undefined) return found;
  const masked = maskSecrets(value, level + 1);
  return masked === value ? found : JSON.stringify(masked);
}

function valueOf(found: string): string | undefined {
  try {
    return JSON.parse(
      found.length > 1 && found.endsWith('"') ? found : `${found.replace(/\\(?:u[\da-f]{0,3})?$/i, "")}"`,
    ) as string;
  } catch {
    return undefined;
  }
}
