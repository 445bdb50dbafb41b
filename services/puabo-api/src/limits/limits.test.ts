import { clientNetwork } from "@nexus/core";
import { expect, test } from "vitest";
import { takeOne } from "./gcra.ts";

test("a fresh bucket admits its burst, then one attempt an interval, and says when", () => {
  const quota = { limit: 3, periodSeconds: 3 };
  let emptyAt = 0;
  for (let attempt = 0; attempt < 3; attempt++) {
    const verdict = takeOne(emptyAt, 10_000, quota);
    expect(verdict.admitted).toBe(true);
    if (verdict.admitted) emptyAt = verdict.emptyAt;
  }
  expect(takeOne(emptyAt, 10_000, quota)).toEqual({ admitted: false, retryAfterMs: 1000 });
  expect(takeOne(emptyAt, 10_999, quota)).toEqual({ admitted: false, retryAfterMs: 1 });
  expect(takeOne(emptyAt, 11_000, quota).admitted).toBe(true);
});

test("a refused attempt costs nothing", () => {
  const quota = { limit: 1, periodSeconds: 1 };
  const first = takeOne(0, 5000, quota);
  expect(first).toEqual({ admitted: true, emptyAt: 6000 });
  for (let again = 0; again < 100; again++) expect(takeOne(6000, 5500, quota)).toEqual({ admitted: false, retryAfterMs: 500 });
});

test.each([
  ["203.0.113.9", "203.0.113.9"],
  ["::ffff:203.0.113.9", "203.0.113.9"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:0db8:0001:0002::9", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
  [undefined, "unknown"],
])("the client %s is counted as %s", (ip, network) => {
  expect(clientNetwork(ip)).toBe(network);
});
