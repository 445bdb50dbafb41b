import { expect, test } from "vitest";
import { stemOf, wordsOf } from "./words-of.ts";

test.each([
  ["verify", "verified", "verifies", "verifying"],
  ["revoke", "revoked", "revokes", "revoking", "revocation"],
  ["configure", "configured", "configuration"],
  ["authenticate", "authentication", "authenticated"],
  ["migrate", "migration", "migrations"],
  ["deploy", "deployed", "deployment", "deploying"],
  ["key", "keys"],
  ["price", "prices", "pricing", "priced"],
  ["limit", "limits", "limited", "limiting"],
  ["stop", "stopped", "stops", "stopping"],
  ["cookie", "cookies"],
  ["model", "models"],
])("the forms of one word meet: %s", (...forms) => {
  expect(new Set(forms.map(stemOf))).toHaveLength(1);
});

test.each([
  ["usage", "user"],
  ["key", "keep"],
  ["port", "portable page"],
  ["address", "add"],
])("%s and %s stay apart", (a, b) => {
  expect(stemOf(a)).not.toBe(stemOf(b));
});

test("words without meaning are left out and a variable gives its parts", () => {
  expect(wordsOf("What is the NEXUS_DATA_DIR?")).toStrictEqual(["nexus_data_dir", "nexus", "data", "dir"]);
  expect(wordsOf("/v1/keys/:id")).toStrictEqual(["v1", "key", "id"]);
  expect(wordsOf("")).toStrictEqual([]);
});

test("a megabyte without a space is no word", () => {
  expect(wordsOf("x".repeat(1_000_000))).toStrictEqual([]);
});
