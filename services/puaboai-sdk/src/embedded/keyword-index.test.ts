import { expect, test } from "vitest";
import { buildKeywordIndex } from "./keyword-index.ts";

const index = buildKeywordIndex([
  ["key", "revok", "key"],
  ["budget", "limit"],
  ["key", "budget", "stream", "stream", "stream", "stream"],
]);
const none = new Map<string, number>();
const search = (...words: string[]) => index.search(words.map((word) => ({ word, weight: 1, synonyms: none })));

test("the text that holds more of the rare words wins", () => {
  const found = search("key", "revok");
  expect(found[0]!.score).toBeGreaterThan(found[2]!.score);
  expect(found[1]!.score).toBe(0);
});

test("coverage is 1 for a text with every word and 0 for one with none", () => {
  const found = search("budget", "limit");
  expect(found[1]!.coverage).toBeCloseTo(1);
  expect(found[0]!.coverage).toBe(0);
});

test("a word that no text holds lowers the coverage of all", () => {
  expect(search("budget", "unicorn")[1]!.coverage).toBeLessThan(0.7);
});

test("a synonym finds the text, but covers less than the word itself", () => {
  const [, found] = index.search([{ word: "money", weight: 1, synonyms: new Map([["budget", 0.5]]) }]);
  expect(found!.score).toBeGreaterThan(0);
  expect(found!.coverage).toBeLessThan(search("budget")[1]!.coverage);
});

test("an empty index and an empty question answer with nothing", () => {
  expect(buildKeywordIndex([]).search([{ word: "key", weight: 1, synonyms: none }])).toStrictEqual([]);
  expect(search().every((entry) => entry.coverage === 0 && entry.score === 0)).toBe(true);
});
