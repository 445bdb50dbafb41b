import { describe, expect, it } from "vitest";
import { generateApiKey, parseApiKey } from "./api-key.ts";
import { crc32Base62, randomBase62 } from "./base62.ts";

describe("the key format", () => {
  it("is readable offline for every kind and environment", () => {
    for (const kind of ["sk", "rk", "svc"] as const) {
      for (const environment of ["live", "test"] as const) {
        const { key, displayPrefix } = generateApiKey(kind, environment);
        expect(key).toMatch(new RegExp(`^pv_${kind}_${environment}_[0-9A-Za-z]{48}$`));
        expect(parseApiKey(key)).toEqual({ kind, environment, displayPrefix });
        expect(key.startsWith(displayPrefix)).toBe(true);
        expect(displayPrefix).toHaveLength(`pv_${kind}_${environment}_`.length + 10);
      }
    }
  });

  it("refuses every single mistyped character", () => {
    const { key } = generateApiKey("sk", "live");
    for (let at = "pv_sk_live_".length; at < key.length; at++) {
      const wrong = key[at] === "a" ? "b" : "a";
      expect(parseApiKey(key.slice(0, at) + wrong + key.slice(at + 1))).toBeUndefined();
    }
  });

  it("refuses what only looks like a key", () => {
    const { key } = generateApiKey("sk", "live");
    for (const text of [
      "",
      "pv_",
      key.slice(1),
      `${key} `,
      ` ${key}`,
      `${key}\n`,
      key.replace("_sk_", "_xx_"),
      key.slice(0, -1),
      `${key}a`,
      "é".repeat(59),
      "a".repeat(1_000_000),
    ]) {
      expect(parseApiKey(text)).toBeUndefined();
    }
  });

  it("carries the checksum that zlib computes, six base62 digits wide", () => {
    // CRC-32 of "123456789" is 0xCBF43926 (the check value of CRC-32/ISO-HDLC) = 3421780262.
    expect(crc32Base62("123456789")).toBe("3jZRME");
    expect(crc32Base62("")).toBe("000000");
  });

  it("draws its characters evenly", () => {
    const counts = new Map<string, number>();
    for (const character of randomBase62(62_000)) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect(counts.size).toBe(62);
    // 1,000 expected each; the standard deviation is about 31.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(250);
  });
});
