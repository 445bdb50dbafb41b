/**
 * Which addresses lie inside: loopback, private, link-local, shared, multicast, reserved, and what only leads to others (IANA
 * IPv4 and IPv6 special-purpose address registries, RFC 6890).
 */
import { BlockList, isIP, isIPv6 } from "node:net";

const inside = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const) {
  // The second form is the same network inside IPv6 (mapped addresses, RFC 4291 §2.5.5.2).
  inside.addSubnet(network, prefix, "ipv4");
  inside.addSubnet(`::ffff:${network}`, 96 + prefix, "ipv6");
}
// Of IPv6 only 2000::/3 is handed out to the world (RFC 4291 §2.4), but for what is told here.
for (const [network, prefix] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const) {
  inside.addSubnet(network, prefix, "ipv6");
}
const world = new BlockList();
world.addSubnet("2000::", 3, "ipv6");
const mapped = new BlockList();
mapped.addSubnet("::ffff:0:0", 96, "ipv6");

/** True for an IP address that is not a public unicast one, and for a text that is no address. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  if (isIP(bare) === 0) return true;
  if (!isIPv6(bare)) return inside.check(bare, "ipv4");
  return inside.check(bare, "ipv6") || !(world.check(bare, "ipv6") || mapped.check(bare, "ipv6"));
}

/** True for a host of a URL that is an inside address or a name that always means this machine. Other names show at look-up. */
export function isPrivateHost(hostname: string): boolean {
  const name = hostname.toLowerCase().replace(/\.$/, "");
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  const bare = name.replace(/^\[|\]$/g, "");
  return isIP(bare) !== 0 && isPrivateAddress(bare);
}
