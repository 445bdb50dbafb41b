import { expect, test } from "vitest";
import { countTokens, endOfTokens, endOfWord } from "./count-tokens.ts";

test.each([
  ["", 0],
  [" \n\t ", 0],
  ["hello", 1],
  ["hello world", 2],
  ["internationalisation", 4],
  ["Don't stop.", 5],
  ["naïve café", 2],
  ["日本語", 3],
  ["a😀b", 3],
  ["\ud800", 1],
  ["x = 12345678;", 5],
])("%j has %i tokens", (text, tokens) => {
  expect(countTokens(text)).toBe(tokens);
});

test("cutting after n tokens leaves a text of n tokens", () => {
  const text = "A key is revoked, never deleted: 日本語 and 😀 stand for themselves.  ";
  for (let n = 0; n <= countTokens(text); n++) expect(countTokens(text.slice(0, endOfTokens(text, n)))).toBe(n);
  expect(endOfTokens(text, countTokens(text))).toBe(text.length);
  expect(endOfTokens(text, 10_000)).toBe(text.length);
});

test("the tokens of the words of a text add up to the tokens of the text", () => {
  const text = "  one two-three\n\nfour 5.6 seven_eight  ";
  let sum = 0;
  let joined = "";
  for (let at = 0; at < text.length;) {
    const end = endOfWord(text, at);
    sum += countTokens(text.slice(at, end));
    joined += text.slice(at, end);
    at = end;
  }
  expect(joined).toBe(text);
  expect(sum).toBe(countTokens(text));
});

test("the count grows in proportion to the text, also on an unbroken run", () => {
  const milliseconds = (length: number) => {
    const text = "a".repeat(length);
    const start = performance.now();
    countTokens(text);
    return performance.now() - start;
  };
  milliseconds(1_000_000);
  // A quadratic count would need minutes for the second one.
  expect(milliseconds(8_000_000)).toBeLessThan(5_000);
});
