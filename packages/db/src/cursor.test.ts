import { Problem } from "@nexus/core";
import { expect, test } from "vitest";
import { decodeCursor, encodeCursor } from "./cursor.ts";

const id = "018f0000-0000-7000-8000-000000000001";
const at = new Date("2026-11-23T10:15:30.123Z");

test("a cursor comes back as the position it was made of", () => {
  expect(decodeCursor(encodeCursor(at, id, "secret"), "secret")).toEqual({ createdAt: at, id });
});

test("a cursor that was changed in any byte, or made with another secret, is refused", () => {
  const cursor = encodeCursor(at, id, "secret");
  expect(() => decodeCursor(cursor, "another")).toThrow(Problem);
  const bytes = Buffer.from(cursor, "base64url");
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes);
    changed[i]! ^= 1;
    expect(() => decodeCursor(changed.toString("base64url"), "secret")).toThrow(Problem);
  }
});

test.each([
  "",
  "x",
  "####",
  "A".repeat(100_000),
  encodeCursor(at, "not-a-uuid", "secret"),
  encodeCursor(new Date(Number.NaN), id, "secret"),
])("what is no cursor is an invalid request that names the parameter", (text) => {
  let thrown: unknown;
  try {
    decodeCursor(text, "secret");
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "invalid_request", errors: [{ pointer: "?cursor" }] });
});
