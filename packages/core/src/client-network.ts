import { isIPv4, isIPv6 } from "node:net";

/**
 * What counts as one client: an IPv4 address, or the /64 of an IPv6 address, as whoever has one address of a /64 has 2^64.
 * Text that is no address is one client of its own.
 */
export function clientNetwork(ip: string | undefined): string {
  if (ip === undefined) return "unknown";
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped !== undefined && isIPv4(mapped)) return mapped;
  if (!isIPv6(ip)) return ip;
  const [head = "", tail] = (ip.split("%")[0] ?? "").split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  // A dotted quad at the end stands for two groups; it never reaches into the first four.
  const backGroups = back.length + (back.at(-1)?.includes(".") ? 1 : 0);
  const zeros = tail === undefined ? 0 : 8 - front.length - backGroups;
  const groups = [...front, ...Array.from({ length: zeros }, () => "0"), ...back];
  const prefix = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${prefix.join(":")}::/64`;
}
