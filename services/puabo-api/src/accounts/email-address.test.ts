import { expect, test } from "vitest";
import { parseEmailAddress } from "./email-address.ts";

test("an address is one address whatever its case", () => {
  expect(parseEmailAddress(" Ann@Example.ORG ")).toBe("ann@example.org");
  expect(parseEmailAddress("root@localhost")).toBe("root@localhost");
});

test.each([
  "",
  "ann",
  "@example.org",
  "ann@",
  "ann@ex ample.org",
  "ann@-example.org",
  "a\u0000b@example.org",
  `${"a".repeat(250)}@example.org`,
])("%j is no address", (text) => {
  expect(parseEmailAddress(text)).toBeUndefined();
});
