import { any, type Command, type ServerState } from "../command.ts";
import { memberOverhead } from "../keyspace.ts";
import { formatFloat, parseFloatArgument, parseIndex } from "../numbers.ts";
import { CommandError, type Reply, syntaxError } from "../reply.ts";
import type { Bound, Scored, SortedSet } from "../sorted-set.ts";
import { addScored } from "./add-scored.ts";

export const sortedSetCommands: readonly Command[] = [
  { name: "zadd", takes: [3, any], grows: true, run: addScored },
  {
    name: "zincrby",
    takes: [3, 3],
    grows: true,
    run: (state, [key = "", by = "", member = ""]) => addScored(state, [key, "INCR", by, member]),
  },
  { name: "zcard", takes: [1, 1], run: ({ data }, [key = ""]) => data.findKind(key, "zset")?.value.size ?? 0 },
  { name: "zscore", takes: [2, 2], run: scoreOf },
  { name: "zcount", takes: [3, 3], run: count },
  { name: "zrange", takes: [3, any], run: range },
  {
    name: "zrangebyscore",
    takes: [3, any],
    run: (state, [key = "", min = "", max = "", ...words]) => range(state, [key, min, max, "BYSCORE", ...words]),
  },
  { name: "zrem", takes: [2, any], run: (state, [key = "", ...members]) => remove(state, key, members) },
  { name: "zremrangebyscore", takes: [3, 3], run: removeByScore },
  { name: "zremrangebyrank", takes: [3, 3], run: removeByRank },
];

function scoreOf({ data }: ServerState, [key = "", member = ""]: readonly string[]): Reply {
  const score = data.findKind(key, "zset")?.value.scoreOf(member);
  return score === undefined ? null : formatFloat(score);
}

function count({ data }: ServerState, [key = "", min = "", max = ""]: readonly string[]): Reply {
  const bounds = [parseBound(min), parseBound(max)] as const;
  const found = data.findKind(key, "zset")?.value.between(...bounds);
  return found ? found.end - found.start : 0;
}

function parseBound(text: string): Bound {
  const exclusive = text.startsWith("(");
  const score = parseFloatArgument(exclusive ? text.slice(1) : text, "ERR min or max is not a float");
  return { score, exclusive };
}

interface RangeOptions {
  byScore: boolean;
  reverse: boolean;
  withScores: boolean;
  limit: { offset: number; count: number } | undefined;
}

function range({ data }: ServerState, [key = "", first = "", second = "", ...words]: readonly string[]): Reply {
  const options = parseRangeOptions(words);
  const find = options.byScore ? finderByScore(first, second, options) : finderByRank(first, second, options.reverse);
  const set = data.findKind(key, "zset")?.value;
  const found = set ? find(set) : [];
  return found.flatMap(({ member, score }) => (options.withScores ? [member, formatFloat(score)] : [member]));
}

function parseRangeOptions(words: readonly string[]): RangeOptions {
  const options: RangeOptions = { byScore: false, reverse: false, withScores: false, limit: undefined };
  for (let at = 0; at < words.length; at++) {
    const word = words[at]?.toUpperCase();
    if (word === "BYSCORE") options.byScore = true;
    else if (word === "REV") options.reverse = true;
    else if (word === "WITHSCORES") options.withScores = true;
    else if (word === "LIMIT" && at + 2 < words.length) {
      options.limit = { offset: parseIndex(words[at + 1] ?? ""), count: parseIndex(words[at + 2] ?? "") };
      at += 2;
    } else throw new CommandError(syntaxError);
  }
  if (options.limit && !options.byScore) {
    throw new CommandError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
  }
  return options;
}

function finderByScore(first: string, second: string, { reverse, limit }: RangeOptions): (set: SortedSet) => Scored[] {
  const [min, max] = reverse ? [parseBound(second), parseBound(first)] : [parseBound(first), parseBound(second)];
  return (set) => {
    const { start, end } = set.between(min, max);
    const found = set.slice(start, end);
    if (reverse) found.reverse();
    if (!limit) return found;
    if (limit.offset < 0) return [];
    return found.slice(limit.offset, limit.count < 0 ? undefined : limit.offset + limit.count);
  };
}

function finderByRank(first: string, second: string, reverse: boolean): (set: SortedSet) => Scored[] {
  const [start, stop] = [parseIndex(first), parseIndex(second)];
  return (set) => {
    const { from, to } = ranks(start, stop, set.size);
    return reverse ? set.slice(set.size - to, set.size - from).toReversed() : set.slice(from, to);
  };
}

/** Negative places count from the end; `to` is excluded. */
function ranks(start: number, stop: number, size: number): { from: number; to: number } {
  const from = Math.max(0, start < 0 ? size + start : start);
  const to = Math.min(size, (stop < 0 ? size + stop : stop) + 1);
  return { from: Math.min(from, Math.max(to, 0)), to: Math.max(to, 0) };
}

function remove({ data }: ServerState, key: string, members: readonly string[]): number {
  const entry = data.findKind(key, "zset");
  let removed = 0;
  for (const member of members) {
    if (!entry?.value.delete(member)) continue;
    removed += 1;
    data.changed(key, entry, -(member.length + memberOverhead));
  }
  return removed;
}

function removeByScore(state: ServerState, [key = "", min = "", max = ""]: readonly string[]): Reply {
  const bounds = [parseBound(min), parseBound(max)] as const;
  const set = state.data.findKind(key, "zset")?.value;
  if (!set) return 0;
  const { start, end } = set.between(...bounds);
  return remove(
    state,
    key,
    set.slice(start, end).map(({ member }) => member),
  );
}

function removeByRank(state: ServerState, [key = "", start = "", stop = ""]: readonly string[]): Reply {
  const places = [parseIndex(start), parseIndex(stop)] as const;
  const set = state.data.findKind(key, "zset")?.value;
  if (!set) return 0;
  const { from, to } = ranks(...places, set.size);
  return remove(
    state,
    key,
    set.slice(from, to).map(({ member }) => member),
  );
}
