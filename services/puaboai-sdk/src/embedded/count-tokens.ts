/**
 * The token count of the embedded chat models.
 *
 * A token is a run of at most six letters or digits, or one other character that is not white space; scripts that write
 * without spaces (code points from U+2E80, such as Chinese or Japanese) and emoji count one token a character.
 * It is a plain definition of our own, near to what large models bill for English, and exact: the same text always has
 * the same count. One pass, no allocation: the exact tokenisers in use are quadratic on an unbroken run and would let one
 * request stop the event loop for seconds.
 */
const runLength = 6;

/** How many tokens the text has. */
export function countTokens(text: string): number {
  let tokens = 0;
  for (let at = tokenEnd(text, 0); at > 0; at = tokenEnd(text, at)) tokens++;
  return tokens;
}

/** Where the first `tokens` tokens of the text end, or the length of the text when it has no more than that. */
export function endOfTokens(text: string, tokens: number): number {
  let end = 0;
  for (let left = tokens; left > 0; left--) {
    const next = tokenEnd(text, end);
    if (next === -1) return text.length;
    end = next;
  }
  return tokenEnd(text, end) === -1 ? text.length : end;
}

/** The end of the next token at or after `from`, or -1 when only white space is left. */
function tokenEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  if (at === text.length) return -1;
  if (!isWordCharacter(text.charCodeAt(at))) return at + (isSurrogatePair(text, at) ? 2 : 1);
  const limit = Math.min(text.length, at + runLength);
  while (at < limit && isWordCharacter(text.charCodeAt(at))) at++;
  return at;
}

/** Where the word that starts at or after `from` ends, the white space behind it included; the text's length at the end. */
export function endOfWord(text: string, from: number): number {
  let at = from;
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  while (at < text.length && !isSpace(text.charCodeAt(at))) at++;
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  return at;
}

function isSpace(code: number): boolean {
  return (
    code <= 0x20 || code === 0xa0 || (code >= 0x2000 && code <= 0x200b) || code === 0x2028 || code === 0x2029 || code === 0x3000
  );
}

function isWordCharacter(code: number): boolean {
  if (code < 0x80) return (code >= 0x30 && code <= 0x39) || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a);
  return code >= 0xc0 && code < 0x2000;
}

function isSurrogatePair(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00;
}
