/**
 * Money is an integer count of nano-dollars (10⁻⁹ USD) in a `bigint`; in JSON it is a decimal string.
 * Floats never touch it.
 */
export type NanoDollars = bigint;

const nanosPerDollar = 1_000_000_000n;

/** The cost of `units` at a price given per million units, rounded up so that many small calls cannot be had for nothing. */
export function costOf(units: number, nanosPerMillion: NanoDollars): NanoDollars {
  return (BigInt(units) * nanosPerMillion + 999_999n) / 1_000_000n;
}

/** `"2.50"` dollars → `2_500_000_000n`. Throws `RangeError` on anything but a plain decimal with at most nine places. */
export function nanosFromDollars(text: string): NanoDollars {
  const match = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (!match) throw new RangeError(`not an amount in dollars: ${text}`);
  const [, whole = "", fraction = ""] = match;
  return BigInt(whole) * nanosPerDollar + BigInt(fraction.padEnd(9, "0"));
}

/** `2_500_000_000n` → `"2.5"`, for people. */
export function dollarsFromNanos(nanos: NanoDollars): string {
  const sign = nanos < 0n ? "-" : "";
  const magnitude = nanos < 0n ? -nanos : nanos;
  const fraction = (magnitude % nanosPerDollar).toString().padStart(9, "0").replace(/0+$/, "");
  return `${sign}${magnitude / nanosPerDollar}${fraction ? `.${fraction}` : ""}`;
}
