import { BlockList, isIPv6 } from "node:net";

/** Lists are those of frozen records, so each is read once as long as the record is known. */
const read = new WeakMap<readonly string[], BlockList>();

/** True when the address lies in one of the ranges (CIDR or single addresses, IPv4 and IPv6); `null`: from anywhere. */
export function allowsAddress(ranges: readonly string[] | null, ip: string): boolean {
  if (ranges === null) return true;
  let list = read.get(ranges);
  if (!list) {
    list = blockListOf(ranges);
    read.set(ranges, list);
  }
  // An IPv4 client of a socket for both families.
  const bare = ip.replace(/^::ffff:(?=\d+\.)/, "");
  return list.check(bare, isIPv6(bare) ? "ipv6" : "ipv4");
}

function blockListOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = "", prefix] = range.split("/");
    const family = isIPv6(network) ? "ipv6" : "ipv4";
    list.addSubnet(network, prefix === undefined ? (family === "ipv6" ? 128 : 32) : Number(prefix), family);
  }
  return list;
}
