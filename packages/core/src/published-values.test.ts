import { expect, it } from "vitest";
import { isPublishedValue } from "./published-values.ts";

it("a value from a public example is known whatever its case and surroundings", () => {
  for (const value of ["your-client-id", "YOUR-CLIENT-SECRET", " changeme\n", "Password"])
    expect(isPublishedValue(value)).toBe(true);
});

it("a fresh random value is not", () => {
  expect(isPublishedValue("kR2b8yq0dXxv3T5mP9wL")).toBe(false);
  expect(isPublishedValue("")).toBe(false);
});
