import { buildKeywordIndex } from "./keyword-index.ts";
import { expect, test } from "vitest";

const index = buildKeywordIndex([
  ["key", "revok", "key"],
  ["budget", "limit"],
  ["key", "budget", "stream", "stream", "stream", "stream"],
]);
const search = (...words: string[]) => index.search(new Map(words.map((word) => [word, 1])));

test("the text that holds more of the rare words wins", () => {
  const { scores } = search("key", "revok");
  expect(scores[0]).toBeGreaterThan(scores[2]!);
  expect(scores[1]).toBe(0);
});

test("coverage is 1 for a text with every word and 0 for one with none", () => {
  const { coverage } = search("budget", "limit");
  expect(coverage[1]).toBeCloseTo(1);
  expect(coverage[0]).toBe(0);
});

test("a word that no text holds lowers the coverage of all", () => {
  expect(search("budget", "unicorn").coverage[1]).toBeLessThan(0.6);
});

test("an empty index and an empty query answer with nothing", () => {
  expect(buildKeywordIndex([]).search(new Map([["key", 1]])).scores).toHaveLength(0);
  expect([...search().coverage]).toStrictEqual([0, 0, 0]);
});
