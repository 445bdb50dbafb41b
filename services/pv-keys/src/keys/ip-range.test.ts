import { expect, it } from "vitest";
import { parseIpRange } from "./ip-range.ts";

it.each([
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["203.0.113.7", "203.0.113.7/32"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["10.128.0.0/9", "10.128.0.0/9"],
  ["2001:DB8::/32", "2001:db8::/32"],
  ["2001:db8:0:0:0:0:0:1", "2001:db8::1/128"],
  ["::/0", "::/0"],
  ["::1", "::1/128"],
  ["fe80::/10", "fe80::/10"],
])("%s is kept as %s", (text, cidr) => {
  expect(parseIpRange(text)).toEqual({ cidr });
});

it.each([
  ["10.0.0.5/8", "has bits beyond its mask; the block is 10.0.0.0/8"],
  ["2001:db8::1/32", "has bits beyond its mask; the block is 2001:db8::/32"],
  ["10.0.0.0/33", "has no mask of 0 to 32 bits"],
  ["10.0.0.0/08", "has no mask of 0 to 32 bits"],
  ["10.0.0.0/", "has no mask of 0 to 32 bits"],
  ["10.0.0.0/-1", "has no mask of 0 to 32 bits"],
  ["::/129", "has no mask of 0 to 128 bits"],
  ["::ffff:10.0.0.1", "is an IPv4 address inside IPv6; write it as IPv4"],
])("%s is refused: it %s", (text, fault) => {
  expect(parseIpRange(text)).toEqual({ fault });
});

it.each(["", "10.0.0", "10.0.0.0/8/8", "010.0.0.1", "256.1.1.1", "example.test", "fe80::1%eth0", "1.2.3.4 ", "[::1]"])(
  "%o is no address",
  (text) => {
    expect(parseIpRange(text)).toEqual({ fault: "is no IPv4 or IPv6 address or CIDR block" });
  },
);
