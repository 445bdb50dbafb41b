import { expect, test } from "vitest";
import { splice } from "../json/splice.ts";
import { stringValues } from "./string-values.ts";

/** Strings of a document with their pointers, as the runtime's own parser sees them. */
function stringsOf(value: unknown, at = ""): { at: string; text: string }[] {
  if (typeof value === "string") return [{ at, text: value }];
  if (Array.isArray(value)) return value.flatMap((one, index) => stringsOf(one, `${at}/${index}`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, one]) => stringsOf(one, `${at}/${/^[a-z_]{1,40}$/i.test(name) ? name : "*"}`));
}

const documents: readonly unknown[] = [
  {},
  [],
  "alone",
  { a: "x" },
  { a: ["x", { b: "y" }, [], {}, ["z"]], c: null, d: 1, e: true, f: "" },
  { 'quo"te': 'in "quotes" \\ and / and \u0000 \u2028', "sk-secret-name-1": { inner: "v" } },
  { text: "ключ 🔑 \ud83d", nested: { "a:b": "c:d", "e,f": ["}", "{", "[", "]", ","] } },
  [[["deep", ["deeper"]]], { x_y: { X: { very_long_name_that_is_no_plain_word_any_more_at_all: "s" } } }],
];

/** The same document, written in other ways. */
const writings: readonly ((value: unknown) => string)[] = [
  (value) => JSON.stringify(value),
  (value) => JSON.stringify(value, null, "\t"),
  (value) => JSON.stringify(value, null, 1).replaceAll("\n", "\r\n"),
  (value) => JSON.stringify(value).replaceAll("x", "\\u0078").replaceAll("/", "\\/"),
];

test("are the strings that the runtime's parser finds, in its order and with their places", () => {
  for (const document of documents) {
    for (const write of writings) {
      const bytes = Buffer.from(write(document));
      const found = [...stringValues(bytes)];
      expect(found.map(({ at, text }) => ({ at, text }))).toEqual(stringsOf(JSON.parse(bytes.toString())));
      for (const { start, end, text } of found) expect(JSON.parse(bytes.toString("utf8", start, end))).toBe(text);
    }
  }
});

test("one that is replaced leaves every other byte as it is", () => {
  const text = '{ "n" : 1.00, "big": 12345678901234567890, "s": ["a", "b\\u0062"], "s": "twice" }';
  const bytes = Buffer.from(text);
  const [, second] = [...stringValues(bytes)];
  const changed = splice(bytes, [{ ...second!, text: JSON.stringify("[EMAIL]\n") }]).toString();
  expect(changed).toBe(text.replace('"b\\u0062"', '"[EMAIL]\\n"'));
});
