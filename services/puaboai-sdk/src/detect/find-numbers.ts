/** Numbers that mean somebody: payment cards, IBANs, US social security numbers, phones. */
import { endOfRun, isAlphanumeric, isDigit, isUpper, isWord } from "./characters.ts";
import type { Finding } from "./finding.ts";

/** The longest that is looked at: 19 digits of a card, 15 of a phone with brackets and spaces. */
const longest = 40;
const mostGroups = 7;

const space = 0x20;
const hyphen = 0x2d;
const dot = 0x2e;
const plus = 0x2b;
const openParenthesis = 0x28;
const closeParenthesis = 0x29;

interface Digits {
  text: string;
  /** How they are grouped: `3-2-4`. */
  groups: string;
  /** What stands between the groups. */
  separators: ReadonlySet<number>;
  /** Other digits stand right before. */
  goesOn: boolean;
  end: number;
}

/** The number that starts at `at`: a digit, a plus or a parenthesis, with no word before it. */
export function findNumber(text: string, at: number): Finding | undefined {
  const before = at > 0 ? text.charCodeAt(at - 1) : 0;
  if (before === plus || ((before === dot || before === hyphen) && isDigit(text.charCodeAt(at - 2)))) return undefined;
  const first = text.charCodeAt(at);
  const digits = digitsAt(text, at);
  if (!digits) return undefined;
  const kind = first === plus ? phoneOf(digits, true) : kindOf(digits, text, at);
  return kind && { kind, start: at, end: digits.end };
}

function kindOf(digits: Digits, text: string, at: number): "card" | "ssn" | "phone" | undefined {
  if (text.charCodeAt(at) === openParenthesis) return phoneOf(digits, false);
  if (isCard(digits)) return "card";
  return isSsn(digits) ? "ssn" : phoneOf(digits, false);
}

/** Digits in groups; `undefined` when they are part of something longer. */
function digitsAt(text: string, from: number): Digits | undefined {
  const limit = Math.min(text.length, from + longest);
  const groups: string[] = [];
  const separators = new Set<number>();
  let at = text.charCodeAt(from) === plus || text.charCodeAt(from) === openParenthesis ? from + 1 : from;
  let end = from;
  while (at < limit && groups.length <= mostGroups) {
    const groupEnd = endOfRun(text, at, isDigit, limit - at);
    if (groupEnd === at) break;
    for (let between = end; between < at && groups.length > 0; between++) separators.add(text.charCodeAt(between));
    groups.push(text.slice(at, groupEnd));
    end = groupEnd;
    at = endOfRun(text, end, isSeparator, 2);
    if (at === end) break;
  }
  const next = text.charCodeAt(end);
  // More digits, letters or a fraction: something else.
  const isPart = isWord(next) || ((next === dot || next === 0x2c) && isDigit(text.charCodeAt(end + 1)));
  if (groups.length === 0 || groups.length > mostGroups || isPart) return undefined;
  const goesOn = text.charCodeAt(from - 1) === space && isDigit(text.charCodeAt(from - 2));
  return { text: groups.join(""), groups: groups.map(({ length }) => length).join("-"), separators, goesOn, end };
}

function isSeparator(code: number): boolean {
  return code === space || code === hyphen || code === dot || code === openParenthesis || code === closeParenthesis;
}

/** Issuers by their first digits, with their lengths (ISO/IEC 7812). */
const issuers: readonly { head: RegExp; lengths: readonly number[] }[] = [
  { head: /^4/, lengths: [13, 16, 19] },
  { head: /^(?:5[1-5]|2[2-7])/, lengths: [16] },
  { head: /^3[47]/, lengths: [15] },
  { head: /^(?:30[0-5]|36|38)/, lengths: [14] },
  { head: /^35/, lengths: [16] },
  { head: /^6(?:011|4[4-9]|5)/, lengths: [16, 19] },
  { head: /^62/, lengths: [16, 17, 18, 19] },
];
const cardGroups: ReadonlySet<string> = new Set(["4-4-4-4", "4-6-5", "4-6-4", "4-4-4-4-3"]);

function isCard({ text, groups, separators }: Digits): boolean {
  if (text.length < 13 || text.length > 19) return false;
  if (groups.includes("-") && (!cardGroups.has(groups) || separators.size !== 1)) return false;
  if (separators.has(dot) || separators.has(openParenthesis) || separators.has(closeParenthesis)) return false;
  const isIssued = issuers.some(({ head, lengths }) => lengths.includes(text.length) && head.test(text));
  return isIssued && new Set(text).size > 1 && passesLuhn(text);
}

/** ISO/IEC 7812-1 annex B. */
function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let at = 0; at < digits.length; at++) {
    const value = digits.charCodeAt(digits.length - 1 - at) - 0x30;
    const doubled = at % 2 === 1 ? value * 2 : value;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** Never issued: areas 000, 666 and 9xx, group 00, serial 0000. */
function isSsn({ text, groups, separators }: Digits): boolean {
  if (groups !== "3-2-4" || separators.size !== 1 || !(separators.has(hyphen) || separators.has(space))) return false;
  return !/^(?:000|666|9)/.test(text) && text.slice(3, 5) !== "00" && text.slice(5) !== "0000";
}

const northAmerican: ReadonlySet<string> = new Set(["3-3-4", "1-3-3-4"]);

/** International, with plus or 00, or a North American number in its groups: without either it is any number. */
function phoneOf({ text, groups, separators, goesOn }: Digits, hasPlus: boolean): "phone" | undefined {
  if (hasPlus) return text.length >= 9 && text.length <= 15 && text[0] !== "0" ? "phone" : undefined;
  if (northAmerican.has(groups) && separators.size > 0) {
    const national = text.slice(-10);
    return /^[2-9]\d\d[2-9]/.test(national) && (text.length === 10 || text[0] === "1") ? "phone" : undefined;
  }
  const isInternational = !goesOn && /^00[1-9]/.test(text) && groups.includes("-") && !separators.has(dot);
  return isInternational && text.length >= 11 && text.length <= 17 ? "phone" : undefined;
}

/** Lengths of IBANs by country (ISO 13616 registry). */
const ibanLengths: ReadonlyMap<string, number> = new Map(
  (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 " +
    "GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 " +
    "MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
  )
    .split(" ")
    .map((entry): [string, number] => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** The IBAN that starts at `at`, in one piece or in groups of four. */
export function findIban(text: string, at: number): Finding | undefined {
  const length = ibanLengths.get(text.slice(at, at + 2));
  if (length === undefined || !isDigit(text.charCodeAt(at + 2)) || !isDigit(text.charCodeAt(at + 3))) return undefined;
  let plain = "";
  let end = at;
  while (plain.length < length) {
    const code = text.charCodeAt(end);
    if (isUpper(code) || isDigit(code)) plain += text[end];
    else if (code !== space || plain.length % 4 !== 0 || text.charCodeAt(end - 1) === space) return undefined;
    end++;
  }
  if (isAlphanumeric(text.charCodeAt(end))) return undefined;
  return rest97(plain) === 1 ? { kind: "iban", start: at, end } : undefined;
}

/** ISO/IEC 7064 MOD 97-10 over the number that the rearranged text stands for. */
function rest97(iban: string): number {
  let rest = 0;
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest;
}

const longestLocal = 64;
const longestDomain = 253;

/** The mail address around the `@` that stands at `at`. @param from nothing before it is looked at */
export function findEmail(text: string, at: number, from: number): Finding | undefined {
  let start = at;
  const limit = Math.max(from, at - longestLocal);
  while (start > limit && isLocal(text.charCodeAt(start - 1))) start--;
  while (start < at && text.charCodeAt(start) === dot) start++;
  if (start === at || text.charCodeAt(at - 1) === dot) return undefined;
  let end = endOfRun(text, at + 1, (code) => isAlphanumeric(code) || code === hyphen || code === dot, longestDomain);
  while (end > at && (text.charCodeAt(end - 1) === dot || text.charCodeAt(end - 1) === hyphen)) end--;
  const domain = text.slice(at + 1, end);
  const top = domain.slice(domain.lastIndexOf(".") + 1);
  if (!domain.includes(".") || domain.includes("..") || !/^[A-Za-z]{2,24}$/.test(top) || domain.startsWith(".")) return undefined;
  // `git@host.example:path` is where a repository is.
  if (text.charCodeAt(end) === 0x3a && isWord(text.charCodeAt(end + 1))) return undefined;
  return { kind: "email", start, end };
}

function isLocal(code: number): boolean {
  return isWord(code) || code === hyphen || code === dot || code === plus || code === 0x25 || code === 0x27;
}
