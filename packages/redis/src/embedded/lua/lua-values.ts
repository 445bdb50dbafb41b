import { LuaType } from "wasmoon";
import { isErrorReply, isStatusReply, type Reply } from "../reply.ts";
import type { LuaMemory } from "./lua-memory.ts";

/** lua.h */
export const registryIndex = -1_001_000;
const deepest = 100;

/** Redis's conversion of a reply to a Lua value: nil → false, status and error → a table with one field. */
export function pushReply(memory: LuaMemory, state: number, reply: Reply): void {
  const { lua } = memory;
  if (typeof reply === "string") memory.push(state, reply);
  else if (reply === null) lua.lua_pushboolean(state, 0);
  else if (typeof reply === "number" || typeof reply === "bigint") lua.lua_pushinteger(state, BigInt(reply));
  else if (isErrorReply(reply)) pushField(memory, state, "err", reply.err);
  else if (isStatusReply(reply)) pushField(memory, state, "ok", reply.ok);
  else {
    lua.lua_checkstack(state, 4);
    lua.lua_createtable(state, reply.length, 0);
    for (const [index, element] of reply.entries()) {
      pushReply(memory, state, element);
      lua.lua_rawseti(state, -2, BigInt(index + 1));
    }
  }
}

function pushField(memory: LuaMemory, state: number, name: string, value: string): void {
  memory.lua.lua_createtable(state, 0, 1);
  memory.push(state, name);
  memory.push(state, value);
  memory.lua.lua_rawset(state, -3);
}

/** The string field of the table at `index` (absolute); `undefined` when it has none. */
export function stringField(memory: LuaMemory, state: number, index: number, name: string): string | undefined {
  memory.push(state, name);
  memory.lua.lua_rawget(state, index);
  const value = memory.lua.lua_type(state, -1) === LuaType.String ? memory.text(state, -1) : undefined;
  memory.lua.lua_settop(state, -2);
  return value;
}

/** Redis's conversion of a Lua value to a reply: numbers lose their fraction, false → nil, arrays end at the first nil. */
export function toReply(memory: LuaMemory, state: number, index: number, depth = 0): Reply {
  const { lua } = memory;
  if (depth > deepest) return { err: "ERR reached lua stack limit" };
  switch (lua.lua_type(state, index)) {
    case LuaType.String:
      return memory.text(state, index);
    case LuaType.Number:
      return toInteger(lua.lua_tonumberx(state, index, null));
    case LuaType.Boolean:
      return lua.lua_toboolean(state, index) === 1 ? 1 : null;
    case LuaType.Table:
      return tableToReply(memory, state, lua.lua_absindex(state, index), depth);
    default:
      return null;
  }
}

function tableToReply(memory: LuaMemory, state: number, table: number, depth: number): Reply {
  const { lua } = memory;
  const err = stringField(memory, state, table, "err");
  if (err !== undefined) return { err };
  const status = stringField(memory, state, table, "ok");
  if (status !== undefined) return { ok: status };
  const elements: Reply[] = [];
  lua.lua_checkstack(state, 4);
  for (let at = 1n; ; at++) {
    const isNil = lua.lua_rawgeti(state, table, at) === LuaType.Nil;
    if (!isNil) elements.push(toReply(memory, state, -1, depth + 1));
    lua.lua_settop(state, -2);
    if (isNil) return elements;
  }
}

function toInteger(value: number): Reply {
  const whole = Math.trunc(value);
  return Number.isSafeInteger(whole) ? whole : BigInt.asIntN(64, Number.isFinite(whole) ? BigInt(whole) : -(2n ** 63n));
}

/** Arguments of redis.call from the stack; `undefined` when one is neither a string nor a number. */
export function takeArguments(memory: LuaMemory, state: number): string[] | undefined {
  const args: string[] = [];
  for (let index = 1; index <= memory.lua.lua_gettop(state); index++) {
    const kind = memory.lua.lua_type(state, index);
    if (kind === LuaType.String) args.push(memory.text(state, index));
    else if (kind === LuaType.Number) args.push(numberText(memory, state, index));
    else return undefined;
  }
  return args;
}

/** As C's `%.17g`, for what is written to Redis without string.format. */
function numberText(memory: LuaMemory, state: number, index: number): string {
  const value = memory.lua.lua_tonumberx(state, index, null);
  if (Number.isInteger(value) && Math.abs(value) < 1e17) return value.toFixed(0);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const [digits = "", exponent] = value.toPrecision(17).split("e");
  const short = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
  return exponent === undefined ? short : `${short}e${exponent.replace(/^([+-])(\d)$/, "$10$2")}`;
}
