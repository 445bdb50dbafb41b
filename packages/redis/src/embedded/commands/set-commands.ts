import { any, type Command, type ServerState } from "../command.ts";
import { memberOverhead } from "../keyspace.ts";
import type { Reply } from "../reply.ts";

export const setCommands: readonly Command[] = [
  { name: "sadd", takes: [2, any], grows: true, run: add },
  { name: "srem", takes: [2, any], run: remove },
  { name: "smembers", takes: [1, 1], run: ({ data }, [key = ""]) => [...(data.findKind(key, "set")?.value ?? [])] },
  { name: "scard", takes: [1, 1], run: ({ data }, [key = ""]) => data.findKind(key, "set")?.value.size ?? 0 },
  { name: "sismember", takes: [2, 2], run: has },
];

function has({ data }: ServerState, [key = "", member = ""]: readonly string[]): Reply {
  return data.findKind(key, "set")?.value.has(member) === true ? 1 : 0;
}

function add({ data }: ServerState, [key = "", ...members]: readonly string[]): Reply {
  const entry = data.open(key, "set");
  let added = 0;
  for (const member of members) {
    if (entry.value.has(member)) continue;
    entry.value.add(member);
    added += 1;
    data.changed(key, entry, member.length + memberOverhead);
  }
  return added;
}

function remove({ data }: ServerState, [key = "", ...members]: readonly string[]): Reply {
  const entry = data.findKind(key, "set");
  let removed = 0;
  for (const member of members) {
    if (!entry?.value.delete(member)) continue;
    removed += 1;
    data.changed(key, entry, -(member.length + memberOverhead));
  }
  return removed;
}
