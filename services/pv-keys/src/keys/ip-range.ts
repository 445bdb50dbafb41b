/** Addresses and CIDR blocks as people write them, and the one form in which they are kept. */
import { isIPv4, isIPv6 } from "node:net";

/** `fault` says why, in words that follow the field's name. */
export type IpRange = { cidr: string } | { fault: string };

/**
 * A lone address becomes a block of one. Bits beyond the mask are refused, not cut off: whoever writes 10.0.0.5/8 meant
 * either that one address or 16 million, and only they know which.
 */
export function parseIpRange(text: string): IpRange {
  const [address = "", mask, ...more] = text.split("/");
  const bytes = more.length === 0 ? addressBytes(address) : undefined;
  if (bytes === undefined) return { fault: "is no IPv4 or IPv6 address or CIDR block" };
  if (bytes.length === 16 && isMapped(bytes)) return { fault: "is an IPv4 address inside IPv6; write it as IPv4" };
  const bits = bytes.length * 8;
  const length = mask === undefined ? bits : /^(?:0|[1-9]\d{0,2})$/.test(mask) ? Number(mask) : bits + 1;
  if (length > bits) return { fault: `has no mask of 0 to ${bits} bits` };
  const network = cutOff(bytes, length);
  const cidr = `${textOf(network)}/${length}`;
  return network.equals(bytes) ? { cidr } : { fault: `has bits beyond its mask; the block is ${cidr}` };
}

function addressBytes(address: string): Buffer | undefined {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  // A zone (`%eth0`) means something on one machine alone.
  if (!isIPv6(address) || address.includes("%")) return undefined;
  // The URL parser writes the dotted tail of an address as hex, so that one form remains (WHATWG URL, "IPv6 serializer").
  const [head = "", tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const groups = (part: string | undefined): string[] => (part ? part.split(":") : []);
  const [front, back] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => "0");
  return Buffer.from([...front, ...zeros, ...back].map((group) => group.padStart(4, "0")).join(""), "hex");
}

/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2): callers come with the IPv4 form, so such a block would never match. */
function isMapped(bytes: Buffer): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function cutOff(bytes: Buffer, length: number): Buffer {
  return Buffer.from(bytes.map((byte, index) => byte & ~(0xff >> Math.min(8, Math.max(0, length - index * 8)))));
}

function textOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = bytes.toString("hex").match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
