import { findInPieces } from "../detect/find-in-pieces.ts";
import { type Finding, type FindingKind, secretKinds } from "../detect/finding.ts";
import { redactedText } from "../detect/redacted-text.ts";
import { Turns } from "../detect/turns.ts";

const kinds: ReadonlySet<FindingKind> = new Set(secretKinds);

/** A string of JSON, or what the end of the text has left of one. */
const jsonString = /"(?:[^"\\]|\\[^])*(?:"|\\?$)/g;

/** JSON that is told in a string of JSON; tool arguments are one level. */
const mostLevels = 3;

/** Characters between two looks at the clock. */
const pieceLength = 16 * 1024;
/** Longest time without letting calls have their turn, milliseconds. */
const turnMs = 2;

/**
 * Every secret gives way to its kind: `[OPENAI_KEY]`. The text may be JSON that was cut anywhere: what stands in its strings is
 * looked at as it reads, since an escape may hide where a secret begins.
 */
export async function maskSecrets(text: string): Promise<string> {
  return await mask(text, { level: 0, turns: new Turns(turnMs) });
}

interface Masking {
  level: number;
  turns: Turns;
}

async function mask(text: string, { level, turns }: Masking): Promise<string> {
  const inside = text.includes("\\") && level < mostLevels ? await maskStrings(text, { level: level + 1, turns }) : text;
  const findings: Finding[] = [];
  for (const found of findInPieces(inside, kinds, pieceLength)) {
    for (const finding of found) findings.push(finding);
    if (turns.isDue()) await turns.take();
  }
  return redactedText(inside, findings);
}

async function maskStrings(text: string, masking: Masking): Promise<string> {
  let out = "";
  let at = 0;
  for (const { 0: found, index } of text.matchAll(jsonString)) {
    if (masking.turns.isDue()) await masking.turns.take();
    const value = found.includes("\\") ? valueOf(found) : undefined;
    if (value === undefined) continue;
    const masked = await mask(value, masking);
    if (masked === value) continue;
    out += text.slice(at, index) + JSON.stringify(masked);
    at = index + found.length;
  }
  return out + text.slice(at);
}

/** `undefined` for what only looks like a string. */
function valueOf(found: string): string | undefined {
  const isWhole = found.length > 1 && found.endsWith('"');
  try {
    // A string that was cut may end within an escape.
    return JSON.parse(isWhole ? found : `${found.replace(/\\(?:u[\da-f]{0,3})?$/i, "")}"`) as string;
  } catch {
    return undefined;
  }
}
