import { describe, expect, it } from "vitest";
import { newId, newUuid, toId, uuidOf } from "./id.ts";

describe("ids", () => {
  it("are UUID version 7 carrying the time they were made", () => {
    const at = Date.UTC(2026, 10, 23, 12, 0, 0, 123);
    const uuid = newUuid(at);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(uuid.replace("-", "").slice(0, 12), 16)).toBe(at);
  });

  it("do not repeat, also across refills of the random pool", () => {
    const made = new Set(Array.from({ length: 10_000 }, () => newUuid(1)));
    expect(made.size).toBe(10_000);
  });

  it("turn into their uuid and back", () => {
    const id = newId("key");
    const uuid = uuidOf("key", id);
    expect(uuid).toBeDefined();
    expect(toId("key", uuid!)).toBe(id);
  });

  it.each([
    "",
    "key_",
    "usr_0192f0c1-0000-7000-8000-000000000000",
    "key_0192F0C1-0000-7000-8000-000000000000",
    `key_${"a".repeat(36)}`,
  ])("refuse %j as the id of a key", (text) => {
    expect(uuidOf("key", text)).toBeUndefined();
  });
});
