/** Which addresses lie inside: loopback, private, link-local, shared, multicast, reserved (IANA special-purpose registries). */
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
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const) {
  // The second form is the same network inside IPv6 (mapped addresses, RFC 4291 §2.5.5.2).
  inside.addSubnet(network, prefix, "ipv4");
  inside.addSubnet(`::ffff:${network}`, 96 + prefix, "ipv6");
}
for (const [network, prefix] of [
  ["::", 127],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  inside.addSubnet(network, prefix, "ipv6");
}

/** True for an IP address that is not a public unicast one, and for a text that is no address. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  if (isIP(bare) === 0) return true;
  return inside.check(bare, isIPv6(bare) ? "ipv6" : "ipv4");
}

/** True for a host of a URL that is an inside address or a name that always means this machine. Other names show at look-up. */
export function isPrivateHost(hostname: string): boolean {
  const name = hostname.toLowerCase().replace(/\.$/, "");
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  const bare = name.replace(/^\[|\]$/g, "");
  return isIP(bare) !== 0 && isPrivateAddress(bare);
}
