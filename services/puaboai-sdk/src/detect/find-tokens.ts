/** Keys and tokens by their shape. Each looks at a run of characters once: nothing goes back. */
import { parseApiKey } from "@nexus/core";
import { endOfRun, isAlphanumeric, isDigit, isMixed, isToken, isUpper, isWord } from "./characters.ts";
import type { Finding } from "./finding.ts";

/** The token that starts at `at`, the beginning of a word. */
export function findToken(text: string, at: number): Finding | undefined {
  // A run is looked at from its beginning alone: from each of its words it would be looked at again and again.
  if (at > 0 && text.charCodeAt(at - 1) === 0x2d) return undefined;
  switch (text.charCodeAt(at)) {
    case 0x70: // p
      return findOurKey(text, at);
    case 0x73: // s
      return findSecretKey(text, at);
    case 0x41: // A
      return findAws(text, at) ?? findGoogle(text, at);
    case 0x67: // g
      return findGithub(text, at);
    case 0x78: // x
      return findSlack(text, at);
    case 0x65: // e
      return findJwt(text, at);
    default:
      return undefined;
  }
}

function findOurKey(text: string, at: number): Finding | undefined {
  if (!text.startsWith("pv_", at)) return undefined;
  const end = endOfRun(text, at, isWord, 100);
  return parseApiKey(text.slice(at, end)) ? { kind: "nexus_key", start: at, end } : undefined;
}

const openAiHeads = ["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-"] as const;

function findSecretKey(text: string, at: number): Finding | undefined {
  if (!text.startsWith("sk-", at)) return undefined;
  const end = endOfRun(text, at, isToken);
  if (text.startsWith("sk-ant-", at)) {
    return end - at >= 27 && hasDigit(text, at + 7, end) ? { kind: "anthropic_key", start: at, end } : undefined;
  }
  const head = openAiHeads.find((one) => text.startsWith(one, at)) ?? "sk-";
  const from = at + head.length;
  return end - from >= 20 && isMixed(text, from, end) ? { kind: "openai_key", start: at, end } : undefined;
}

function findAws(text: string, at: number): Finding | undefined {
  const head = text.slice(at, at + 4);
  if (head !== "AKIA" && head !== "ASIA") return undefined;
  const end = endOfRun(text, at, (code) => isUpper(code) || isDigit(code), 21);
  const isWhole = end - at === 20 && !isWord(text.charCodeAt(end)) && hasDigit(text, at + 4, end);
  return isWhole ? { kind: "aws_key", start: at, end } : undefined;
}

function findGoogle(text: string, at: number): Finding | undefined {
  if (!text.startsWith("AIza", at)) return undefined;
  const end = endOfRun(text, at, isToken, 40);
  return end - at === 39 && isMixed(text, at + 4, end) ? { kind: "google_key", start: at, end } : undefined;
}

function findGithub(text: string, at: number): Finding | undefined {
  const isClassic = /^gh[oprsu]_$/.test(text.slice(at, at + 4));
  if (!isClassic && !text.startsWith("github_pat_", at)) return undefined;
  const from = at + (isClassic ? 4 : 11);
  const end = endOfRun(text, from, isWord);
  const isLong = end - from >= (isClassic ? 36 : 40);
  return isLong && isMixed(text, from, end) ? { kind: "github_token", start: at, end } : undefined;
}

function findSlack(text: string, at: number): Finding | undefined {
  const head = /^(?:xox[abeoprs]-|xapp-)/.exec(text.slice(at, at + 5))?.[0];
  if (head === undefined) return undefined;
  const end = endOfRun(text, at, isToken);
  return end - at >= 20 && hasDigit(text, at + 5, end) ? { kind: "slack_token", start: at, end } : undefined;
}

/** Header and payload are JSON objects in base64url: both begin with `{"`. */
function findJwt(text: string, at: number): Finding | undefined {
  if (!text.startsWith("eyJ", at)) return undefined;
  const header = endOfRun(text, at, isToken);
  if (header - at < 12 || !text.startsWith(".eyJ", header)) return undefined;
  const payload = endOfRun(text, header + 1, isToken);
  if (payload - header < 8 || text.charCodeAt(payload) !== 0x2e) return undefined;
  const end = endOfRun(text, payload + 1, isToken);
  return end - payload > 16 ? { kind: "jwt", start: at, end } : undefined;
}

const blockHead = "-----BEGIN ";
const longestBlock = 16 * 1024;

/** A PEM block of a private key (RFC 7468); without its last line as far as it goes. */
export function findPrivateKey(text: string, at: number): Finding | undefined {
  if (!text.startsWith(blockHead, at)) return undefined;
  const nameEnd = endOfRun(text, at + blockHead.length, (code) => isUpper(code) || isDigit(code) || code === 0x20, 60);
  const name = text.slice(at + blockHead.length, nameEnd);
  if (!name.includes("PRIVATE KEY") || !text.startsWith("-----", nameEnd)) return undefined;
  const limit = Math.min(text.length, at + longestBlock);
  const last = text.slice(nameEnd, limit).indexOf(`-----END ${name}-----`);
  return { kind: "private_key", start: at, end: last === -1 ? limit : nameEnd + last + name.length + 14 };
}

function hasDigit(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (isDigit(text.charCodeAt(at))) return true;
  return false;
}

/** Names whose values are secrets, as words end: `DB_PASSWORD`, `clientSecret`, `x-api-key`. */
const secretNames = [
  "password",
  "passwd",
  "passphrase",
  "pwd",
  "secret",
  "token",
  "apikey",
  "accesskey",
  "privatekey",
  "authkey",
];
const longestName = 64;
const longestValue = 256;

/**
 * A random value that is assigned to a name like `API_KEY`, in any notation with `=` or `:`.
 * @param from where the word starts that ends at `end`
 */
export function findAssigned(text: string, from: number, end: number): Finding | undefined {
  let sign = end;
  while (sign - end < 4 && isQuoteOrSpace(text.charCodeAt(sign))) sign++;
  const code = text.charCodeAt(sign);
  if (code !== 0x3d && code !== 0x3a) return undefined;
  let name = from;
  while (name > 0 && end - name < longestName && isToken(text.charCodeAt(name - 1))) name--;
  if (!namesSecret(text.slice(Math.max(name, end - longestName), end))) return undefined;
  const start = endOfRun(text, sign, (one) => assigning.has(one), 8);
  const plain = endOfRun(text, start, (one) => one > 0x20 && !ending.has(one), longestValue);
  // Padding of base64; elsewhere the sign begins another value.
  const stop = endOfRun(text, plain, (one) => one === 0x3d, 2);
  // What has a shape of its own is found by it.
  if (findToken(text, start)) return undefined;
  return isRandom(text, start, stop) ? { kind: "assigned_secret", start, end: stop } : undefined;
}

/** The password in `scheme://user:password@host`, from the colon behind the scheme. */
export function findUrlPassword(text: string, at: number): Finding | undefined {
  if (!text.startsWith("://", at)) return undefined;
  const start = endOfRun(text, at + 3, isUserInfo, longestName) + 1;
  if (text.charCodeAt(start - 1) !== 0x3a) return undefined;
  const end = endOfRun(text, start, (code) => isUserInfo(code) || code === 0x3a, longestValue);
  const isPassword = end > start && text.charCodeAt(end) === 0x40 && !findToken(text, start);
  return isPassword ? { kind: "assigned_secret", start, end } : undefined;
}

/** Letters, digits and signs but for those that end a part, and those of a reference such as `${PASSWORD}` or `<password>`. */
function isUserInfo(code: number): boolean {
  return code > 0x20 && !noUserInfo.has(code);
}

const noUserInfo: ReadonlySet<number> = new Set(Array.from(`:@/?#"'\`<>{}`, (one) => one.charCodeAt(0)));

/** What may stand between a name and the sign that assigns to it. */
function isQuoteOrSpace(code: number): boolean {
  return code === 0x20 || code === 0x22 || code === 0x27 || code === 0x5c || code === 0x60;
}

/** A value may be assigned to the word that this stands behind. */
export function mayAssign(code: number): boolean {
  return code === 0x3a || code === 0x3d || isQuoteOrSpace(code);
}

const assigning: ReadonlySet<number> = new Set(Array.from(`=:> "'\\\``, (one) => one.charCodeAt(0)));
const ending: ReadonlySet<number> = new Set(Array.from(`"'\`,;)}]&|\\<>=`, (one) => one.charCodeAt(0)));

function namesSecret(name: string): boolean {
  const plain = name.replaceAll(/[_-]/g, "").toLowerCase();
  return secretNames.some((one) => plain.endsWith(one));
}

/** How often each character stands in a value; used again for every one. */
const counts = new Uint16Array(128);

/** Long, of digits and letters, and with as many different characters as chance would bring. */
function isRandom(text: string, from: number, to: number): boolean {
  const length = to - from;
  if (length < 10) return false;
  let digits = 0;
  let letters = 0;
  counts.fill(0);
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    // A reference to a secret is none: `${TOKEN}`, `$(cat file)`, `process.env["TOKEN"]`.
    if (code === 0x24 || code === 0x7b || code === 0x28 || code === 0x5b) return false;
    if (isDigit(code)) digits++;
    else if (isAlphanumeric(code)) letters++;
    counts[code & 0x7f] = (counts[code & 0x7f] ?? 0) + 1;
  }
  let entropy = 0;
  for (const count of counts) if (count > 0) entropy -= (count / length) * Math.log2(count / length);
  return digits > 0 && letters > 0 && entropy >= (length < 16 ? 2.8 : 3.2);
}
