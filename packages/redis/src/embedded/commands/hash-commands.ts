import { any, type Command, type ServerState } from "../command.ts";
import { memberOverhead } from "../keyspace.ts";
import { addIntegers, parseInteger } from "../numbers.ts";
import { CommandError, type Reply } from "../reply.ts";

export const hashCommands: readonly Command[] = [
  { name: "hset", takes: [3, any], grows: true, run: set },
  {
    name: "hget",
    takes: [2, 2],
    run: ({ data }, [key = "", field = ""]) => data.findKind(key, "hash")?.value.get(field) ?? null,
  },
  { name: "hmget", takes: [2, any], run: getMany },
  { name: "hgetall", takes: [1, 1], run: ({ data }, [key = ""]) => [...(data.findKind(key, "hash")?.value ?? [])].flat() },
  { name: "hkeys", takes: [1, 1], run: ({ data }, [key = ""]) => [...(data.findKind(key, "hash")?.value.keys() ?? [])] },
  { name: "hlen", takes: [1, 1], run: ({ data }, [key = ""]) => data.findKind(key, "hash")?.value.size ?? 0 },
  { name: "hexists", takes: [2, 2], run: has },
  { name: "hdel", takes: [2, any], run: remove },
  { name: "hincrby", takes: [3, 3], grows: true, run: increment },
];

function has({ data }: ServerState, [key = "", field = ""]: readonly string[]): Reply {
  return data.findKind(key, "hash")?.value.has(field) === true ? 1 : 0;
}

function getMany({ data }: ServerState, [key = "", ...fields]: readonly string[]): Reply {
  const hash = data.findKind(key, "hash")?.value;
  return fields.map((field) => hash?.get(field) ?? null);
}

function set(state: ServerState, [key = "", ...pairs]: readonly string[]): Reply {
  if (pairs.length % 2 === 1) throw new CommandError("ERR wrong number of arguments for 'hset' command");
  let added = 0;
  for (let at = 0; at < pairs.length; at += 2) added += put(state, key, pairs[at] ?? "", pairs[at + 1] ?? "");
  return added;
}

function put({ data }: ServerState, key: string, field: string, value: string): number {
  const entry = data.open(key, "hash");
  const before = entry.value.get(field);
  entry.value.set(field, value);
  const delta = value.length - (before?.length ?? -(field.length + memberOverhead));
  data.changed(key, entry, delta);
  return before === undefined ? 1 : 0;
}

function remove({ data }: ServerState, [key = "", ...fields]: readonly string[]): Reply {
  const entry = data.findKind(key, "hash");
  let removed = 0;
  for (const field of entry ? fields : []) {
    const value = entry?.value.get(field);
    if (value === undefined || !entry?.value.delete(field)) continue;
    removed += 1;
    data.changed(key, entry, -(field.length + value.length + memberOverhead));
  }
  return removed;
}

function increment(state: ServerState, [key = "", field = "", by = ""]: readonly string[]): Reply {
  const amount = parseInteger(by);
  const before = state.data.findKind(key, "hash")?.value.get(field) ?? "0";
  const sum = addIntegers(parseInteger(before, "ERR hash value is not an integer"), amount);
  put(state, key, field, sum.toString());
  return sum;
}
