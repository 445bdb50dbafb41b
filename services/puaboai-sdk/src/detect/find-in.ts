/**
 * Finds secrets and personal data in a text in one pass from left to right. Every look from a place is bounded, or is of a run
 * that is looked at once: the time grows with the length of the text, whatever stands in it.
 */
import { endOfWord, isDigit, isUpper, isWord } from "./characters.ts";
import { findEmail, findIban, findNumber } from "./find-numbers.ts";
import { findAssigned, findPrivateKey, findToken, findUrlPassword, mayAssign } from "./find-tokens.ts";
import type { Finding, FindingKind } from "./finding.ts";

/**
 * Findings in the order of the text; they do not overlap.
 * @param from only what starts here or later; what stands before is looked at, not found
 */
export function findIn(text: string, kinds: ReadonlySet<FindingKind>, from = 0, to = text.length): Finding[] {
  const found: Finding[] = [];
  let free = from;
  let at = from;
  while (at < to) {
    // Where the word that stands here ends; the same place where none does.
    const end = endOfWord(text, at);
    const finding = end > at ? findAtWord(text, { at, end }, kinds) : findAtSign(text, at, { kinds, free });
    if (finding && kinds.has(finding.kind) && finding.start >= free) {
      found.push(finding);
      free = finding.end;
      at = finding.end;
    } else {
      at = end > at ? end : at + 1;
    }
  }
  return found;
}

/** What starts with this word, or is assigned to it. */
function findAtWord(
  text: string,
  { at, end }: { at: number; end: number },
  kinds: ReadonlySet<FindingKind>,
): Finding | undefined {
  // In the middle of a word, as after a finding, nothing starts.
  if (at > 0 && isWord(text.charCodeAt(at - 1))) return undefined;
  const code = text.charCodeAt(at);
  const whole = isDigit(code) ? findNumber(text, at) : (findToken(text, at) ?? (isUpper(code) ? findIban(text, at) : undefined));
  if (whole && kinds.has(whole.kind)) return whole;
  return mayAssign(text.charCodeAt(end)) && kinds.has("assigned_secret") ? findAssigned(text, at, end) : undefined;
}

/** What starts with a sign, or stands around one. */
function findAtSign(
  text: string,
  at: number,
  { kinds, free }: { kinds: ReadonlySet<FindingKind>; free: number },
): Finding | undefined {
  switch (text.charCodeAt(at)) {
    case 0x40: // @
      return kinds.has("email") ? findEmail(text, at, free) : undefined;
    case 0x3a: // :
      return kinds.has("assigned_secret") ? findUrlPassword(text, at) : undefined;
    case 0x2d: // -
      return kinds.has("private_key") ? findPrivateKey(text, at) : undefined;
    case 0x2b: // +
    case 0x28: // (
      return kinds.has("phone") && !isWord(text.charCodeAt(at - 1)) ? findNumber(text, at) : undefined;
    default:
      return undefined;
  }
}
