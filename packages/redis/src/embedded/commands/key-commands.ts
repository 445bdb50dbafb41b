import { any, type Command, type ServerState } from "../command.ts";
import { matchGlob } from "../match-glob.ts";
import { parseInteger } from "../numbers.ts";
import { CommandError, ok, type Reply, syntaxError } from "../reply.ts";
import { expiryOrPast } from "./expiry.ts";

export const keyCommands: readonly Command[] = [
  { name: "del", takes: [1, any], run: remove },
  { name: "unlink", takes: [1, any], run: remove },
  { name: "exists", takes: [1, any], run: ({ data }, keys) => keys.filter((key) => data.find(key)).length },
  { name: "type", takes: [1, 1], run: ({ data }, [key = ""]) => ({ ok: data.find(key)?.kind ?? "none" }) },
  { name: "expire", takes: [2, 2], run: (state, args) => expire(state, args, "EX", "expire") },
  { name: "pexpire", takes: [2, 2], run: (state, args) => expire(state, args, "PX", "pexpire") },
  { name: "persist", takes: [1, 1], run: persist },
  { name: "ttl", takes: [1, 1], run: (state, args) => timeToLive(state, args, 1000) },
  { name: "pttl", takes: [1, 1], run: (state, args) => timeToLive(state, args, 1) },
  { name: "keys", takes: [1, 1], run: ({ data }, [pattern = ""]) => data.keys().filter((key) => matchGlob(pattern, key)) },
  { name: "scan", takes: [1, any], run: scan },
  { name: "dbsize", takes: [0, 0], run: ({ data }) => data.keys().length },
  { name: "flushall", takes: [0, 1], run: flush },
  { name: "flushdb", takes: [0, 1], run: flush },
];

function remove({ data }: ServerState, keys: readonly string[]): Reply {
  return keys.filter((key) => data.find(key) && data.delete(key)).length;
}

function expire({ data }: ServerState, [key = "", life = ""]: readonly string[], unit: "EX" | "PX", command: string): Reply {
  const at = expiryOrPast(unit, life, data.now, command);
  if (!data.find(key)) return 0;
  data.expire(key, at);
  return 1;
}

function persist({ data }: ServerState, [key = ""]: readonly string[]): Reply {
  if (data.find(key)?.expiresAt === undefined) return 0;
  data.expire(key, undefined);
  return 1;
}

function timeToLive({ data }: ServerState, [key = ""]: readonly string[], unitMs: number): Reply {
  const entry = data.find(key);
  if (!entry) return -2;
  return entry.expiresAt === undefined ? -1 : Math.round((entry.expiresAt - data.now) / unitMs);
}

/** Everything in one answer: what is kept here is bounded, and so nothing is missed or told twice. */
function scan({ data }: ServerState, [cursor = "", ...words]: readonly string[]): Reply {
  if (!/^\d{1,20}$/.test(cursor)) throw new CommandError("ERR invalid cursor");
  let pattern = "*";
  let kind: string | undefined;
  for (let at = 0; at < words.length; at += 2) {
    const [word = "", value] = words.slice(at, at + 2);
    if (value === undefined) throw new CommandError(syntaxError);
    if (word.toUpperCase() === "MATCH") pattern = value;
    else if (word.toUpperCase() === "TYPE") kind = value.toLowerCase();
    else if (word.toUpperCase() !== "COUNT" || parseInteger(value) < 1n) throw new CommandError(syntaxError);
  }
  const isWanted = (key: string): boolean => kind === undefined || data.find(key)?.kind === kind;
  return ["0", data.keys().filter((key) => matchGlob(pattern, key) && isWanted(key))];
}

function flush({ data }: ServerState, [mode]: readonly string[]): Reply {
  if (mode !== undefined && !["SYNC", "ASYNC"].includes(mode.toUpperCase())) throw new CommandError(syntaxError);
  data.clear();
  return ok;
}
