import { any, type Command, type ServerState } from "../command.ts";
import { addIntegers, parseInteger } from "../numbers.ts";
import { CommandError, ok, type Reply, syntaxError } from "../reply.ts";
import { expiryFrom } from "./expiry.ts";

export const stringCommands: readonly Command[] = [
  { name: "get", takes: [1, 1], run: ({ data }, [key = ""]) => data.findKind(key, "string")?.value ?? null },
  { name: "set", takes: [2, any], grows: true, run: set },
  { name: "mget", takes: [1, any], run: ({ data }, keys) => keys.map((key) => stringOrNil(data.find(key))) },
  { name: "getdel", takes: [1, 1], run: getAndDelete },
  { name: "strlen", takes: [1, 1], run: ({ data }, [key = ""]) => data.findKind(key, "string")?.value.length ?? 0 },
  { name: "incr", takes: [1, 1], grows: true, run: (state, [key = ""]) => add(state, key, 1n) },
  { name: "decr", takes: [1, 1], grows: true, run: (state, [key = ""]) => add(state, key, -1n) },
  { name: "incrby", takes: [2, 2], grows: true, run: (state, [key = "", by = ""]) => add(state, key, parseInteger(by)) },
  { name: "decrby", takes: [2, 2], grows: true, run: (state, [key = "", by = ""]) => add(state, key, negated(by)) },
];

function stringOrNil(entry: ReturnType<ServerState["data"]["find"]>): Reply {
  return typeof entry?.value === "string" ? entry.value : null;
}

function negated(text: string): bigint {
  const value = parseInteger(text);
  if (value === -(2n ** 63n)) throw new CommandError("ERR decrement would overflow");
  return -value;
}

function add({ data }: ServerState, key: string, by: bigint): Reply {
  const entry = data.findKind(key, "string");
  const sum = addIntegers(parseInteger(entry?.value ?? "0"), by);
  data.setString(key, sum.toString(), entry?.expiresAt);
  return sum;
}

function getAndDelete({ data }: ServerState, [key = ""]: readonly string[]): Reply {
  const entry = data.findKind(key, "string");
  data.delete(key);
  return entry?.value ?? null;
}

interface SetOptions {
  condition: "NX" | "XX" | undefined;
  get: boolean;
  keepTtl: boolean;
  expiry: { unit: "EX" | "PX" | "EXAT" | "PXAT"; text: string } | undefined;
}

function set({ data }: ServerState, [key = "", value = "", ...words]: readonly string[]): Reply {
  const options = parseSetOptions(words);
  const expiresAt = options.expiry && expiryFrom(options.expiry.unit, options.expiry.text, data.now, "set");
  const before = options.get ? data.findKind(key, "string") : data.find(key);
  const previous = options.get ? ((before?.value as string | undefined) ?? null) : undefined;
  if (options.condition !== undefined && (before === undefined) !== (options.condition === "NX")) return previous ?? null;
  data.setString(key, value, options.keepTtl ? before?.expiresAt : expiresAt);
  return previous === undefined ? ok : previous;
}

/** @throws CommandError */
function parseSetOptions(words: readonly string[]): SetOptions {
  const options: SetOptions = { condition: undefined, get: false, keepTtl: false, expiry: undefined };
  for (let at = 0; at < words.length; at++) {
    const word = words[at]?.toUpperCase();
    if ((word === "NX" || word === "XX") && (options.condition ?? word) === word) options.condition = word;
    else if (word === "GET") options.get = true;
    else if (word === "KEEPTTL" && !options.expiry) options.keepTtl = true;
    else if ((word === "EX" || word === "PX" || word === "EXAT" || word === "PXAT") && !options.expiry && !options.keepTtl) {
      at += 1;
      const text = words[at];
      if (text === undefined) throw new CommandError(syntaxError);
      options.expiry = { unit: word, text };
    } else throw new CommandError(syntaxError);
  }
  return options;
}
