/** Classes of ASCII characters; everything else is of none. */
const classes = new Uint8Array(128);
const digit = 1;
const upper = 2;
const lower = 4;
const underscore = 8;
const hyphen = 16;
const word = digit | upper | lower | underscore;

for (let code = 0x30; code <= 0x39; code++) classes[code] = digit;
for (let code = 0x41; code <= 0x5a; code++) classes[code] = upper;
for (let code = 0x61; code <= 0x7a; code++) classes[code] = lower;
classes[0x5f] = underscore;
classes[0x2d] = hyphen;

const classOf = (code: number): number => (code < 128 ? (classes[code] ?? 0) : 0);

export const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;
export const isUpper = (code: number): boolean => code >= 0x41 && code <= 0x5a;
export const isAlphanumeric = (code: number): boolean => (classOf(code) & (digit | upper | lower)) !== 0;
/** What makes a word: letters, digits, underscore. */
export const isWord = (code: number): boolean => (classOf(code) & word) !== 0;
/** What tokens are made of (base64url). */
export const isToken = (code: number): boolean => classOf(code) !== 0;

/** Where the run of such characters ends that starts at `from`; looks at no more than `most`. */
export function endOfRun(text: string, from: number, is: (code: number) => boolean, most = Infinity): number {
  const limit = Math.min(text.length, from + most);
  let at = from;
  while (at < limit && is(text.charCodeAt(at))) at++;
  return at;
}

/** Where the word ends that `from` stands in. As `endOfRun` would say, and most of what a text is read with. */
export function endOfWord(text: string, from: number): number {
  const { length } = text;
  let at = from;
  while (at < length) {
    const code = text.charCodeAt(at);
    if (code >= 128 || ((classes[code] ?? 0) & word) === 0) break;
    at++;
  }
  return at;
}

/** A random value, and not words: it holds a digit, a small and a capital letter. */
export function isMixed(text: string, from: number, to: number): boolean {
  let seen = 0;
  for (let at = from; at < to; at++) seen |= classOf(text.charCodeAt(at));
  return (seen & digit) !== 0 && (seen & upper) !== 0 && (seen & lower) !== 0;
}
