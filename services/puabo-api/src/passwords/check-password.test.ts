import { expect, test } from "vitest";
import { checkPassword } from "./check-password.ts";

const ann = { email: "ann.lovelace+x@example.org", name: "Ann Lovelace" };

test.each([
  ["fourteen chars", "too_short"],
  ["🙂".repeat(14), "too_short"],
  ["x1".repeat(129), "too_long"],
  ["passwordPassword", "common"],
  ["Password-Password", "common"],
  ["abcabcabcabcabcabc", "common"],
  ["aaaaaaaaaaaaaaaaaaaa", "common"],
  ["qwertyuiopasdfghjkl", "common"],
  ["0987654321098765", "common"],
  ["my-LoveLace-2026-key", "own_words"],
  ["ann.lovelace-is-here", "own_words"],
] as const)("%s is refused as %s", (password, fault) => {
  expect(checkPassword(password, ann, 15)).toBe(fault);
});

test.each([
  "a long pass phrase of mine",
  "Gr\u00fcne Wiese, drei K\u00fche",
  "🙂🙃😀😁😂🤣😃😄😅😆😉😊😋😎😍",
  "annual report of the society",
  "x1y2".repeat(2) + "-not-again-64".repeat(3),
])("%s is allowed: no composition is asked for, and a short name stands in honest words", (password) => {
  expect(checkPassword(password, ann, 15)).toBeUndefined();
});

test("an installation may lower the length and still refuses the shorter common ones", () => {
  expect(checkPassword("sunshine", ann, 8)).toBe("common");
  expect(checkPassword("kq7-vexu", ann, 8)).toBeUndefined();
});
