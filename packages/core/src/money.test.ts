import { describe, expect, it } from "vitest";
import { costOf, dollarsFromNanos, nanosFromDollars } from "./money.ts";

describe("money", () => {
  it("is exact for amounts that floats cannot hold", () => {
    expect(nanosFromDollars("9007199.254740993")).toBe(9_007_199_254_740_993n);
    expect(nanosFromDollars("0.1") + nanosFromDollars("0.2")).toBe(nanosFromDollars("0.3"));
  });

  it("comes back as the text it was read from", () => {
    for (const text of ["0", "1", "2.5", "0.000000001", "123456789012.987654321"]) {
      expect(dollarsFromNanos(nanosFromDollars(text))).toBe(text);
    }
    expect(dollarsFromNanos(-1_500_000_000n)).toBe("-1.5");
  });

  it.each(["", "-1", "1.", ".5", "1e3", "1.0000000001", "1,5", " 1", "NaN"])("refuses %j as an amount", (text) => {
    expect(() => nanosFromDollars(text)).toThrow(RangeError);
  });

  it("rounds a cost up: no number of small calls is free", () => {
    expect(costOf(1, 1n)).toBe(1n);
    expect(costOf(1_000_000, 2_500_000_000n)).toBe(2_500_000_000n);
    expect(costOf(3, 150_000_000n)).toBe(450n);
    expect(costOf(0, 150_000_000n)).toBe(0n);
  });
});
