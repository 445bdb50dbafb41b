import type { ServerState } from "../command.ts";
import { memberOverhead } from "../keyspace.ts";
import { formatFloat, parseFloatArgument } from "../numbers.ts";
import { CommandError, type Reply, syntaxError } from "../reply.ts";

const words = ["NX", "XX", "GT", "LT", "CH", "INCR"] as const;
type Word = (typeof words)[number];
type Flags = ReadonlySet<Word>;

/** ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member … */
export function addScored({ data }: ServerState, [key = "", ...args]: readonly string[]): Reply {
  const flags = new Set<Word>();
  let at = 0;
  for (let word = wordAt(args, at); word !== undefined; word = wordAt(args, ++at)) flags.add(word);
  const pairs = parsePairs(args.slice(at), flags);
  const exists = data.findKind(key, "zset") !== undefined;
  if (!exists && flags.has("XX")) return flags.has("INCR") ? null : 0;

  const entry = data.open(key, "zset");
  let added = 0;
  let changed = 0;
  let last: number | undefined;
  for (const { score, member } of pairs) {
    const before = entry.value.scoreOf(member);
    const after = next(before, score, flags);
    last = after;
    if (after === undefined || after === before) continue;
    entry.value.set(member, after);
    if (before === undefined) data.changed(key, entry, member.length + memberOverhead);
    if (before === undefined) added += 1;
    else changed += 1;
  }
  if (flags.has("INCR")) return last === undefined ? null : formatFloat(last);
  return flags.has("CH") ? added + changed : added;
}

function wordAt(args: readonly string[], at: number): Word | undefined {
  const upper = args[at]?.toUpperCase();
  return words.find((word) => word === upper);
}

function parsePairs(args: readonly string[], flags: Flags): { score: number; member: string }[] {
  if (args.length === 0 || args.length % 2 === 1) throw new CommandError(syntaxError);
  if (flags.has("NX") && flags.has("XX")) {
    throw new CommandError("ERR XX and NX options at the same time are not compatible");
  }
  if ([flags.has("NX"), flags.has("GT"), flags.has("LT")].filter(Boolean).length > 1) {
    throw new CommandError("ERR GT, LT, and/or NX options at the same time are not compatible");
  }
  if (flags.has("INCR") && args.length > 2) {
    throw new CommandError("ERR INCR option supports a single increment-element pair");
  }
  const pairs: { score: number; member: string }[] = [];
  for (let at = 0; at < args.length; at += 2)
    pairs.push({ score: parseFloatArgument(args[at] ?? ""), member: args[at + 1] ?? "" });
  return pairs;
}

/** The new score, or `undefined` when the flags forbid it. */
function next(before: number | undefined, score: number, flags: Flags): number | undefined {
  if (before === undefined) return flags.has("XX") ? undefined : score;
  if (flags.has("NX")) return undefined;
  const after = flags.has("INCR") ? before + score : score;
  if (Number.isNaN(after)) throw new CommandError("ERR resulting score is not a number (NaN)");
  if ((flags.has("GT") && after <= before) || (flags.has("LT") && after >= before)) return undefined;
  return after;
}
