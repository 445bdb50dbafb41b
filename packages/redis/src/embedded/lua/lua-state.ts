import { assert } from "@nexus/core";
import { LuaType } from "wasmoon";
import type { Reply } from "../reply.ts";
import type { LuaMemory } from "./lua-memory.ts";
import { pushReply, registryIndex, stringField, takeArguments, toReply } from "./lua-values.ts";
import { sandbox } from "./sandbox.ts";

export interface LuaHost {
  /** A command from a script. Never throws. */
  call(args: readonly string[]): Reply;
  sha1hex(text: string): string;
}

export interface LuaLimits {
  /** Milliseconds that one script may run. */
  runMs: number;
  /** Bytes of all that scripts hold. */
  memoryBytes: number;
}

/** What a script failed with: the text it raised, or the `err` of the table it raised. */
export type LuaOutcome = { reply: Reply } | { error: string; isReply: boolean };

const maskCount = 8;
const instructionsBetweenLooks = 10_000;
/** luaL_ref and LUA_MULTRET are of no use here; one result is what a script returns. */
const oneResult = 1;

/** One Lua state in its sandbox. Scripts leave nothing behind in it but their compiled text. */
export class LuaState {
  readonly #memory: LuaMemory;
  readonly #state: number;
  readonly #globals: number;
  readonly #hook: number;
  readonly #collect: number;
  readonly #limits: LuaLimits;
  #used = 0;
  #deadline = Infinity;

  constructor(memory: LuaMemory, host: LuaHost, limits: LuaLimits) {
    this.#memory = memory;
    this.#limits = limits;
    this.#state = memory.lua.lua_newstate(memory.raw.addFunction(this.#allocate, "iiiii"), null);
    assert(this.#state !== 0, "no memory for a Lua state");
    this.#hook = memory.raw.addFunction(this.#look, "vii");
    this.#openLibraries();
    memory.lua.lua_getglobal(this.#state, "collectgarbage");
    this.#collect = memory.lua.luaL_ref(this.#state, registryIndex);
    this.#globals = this.#openSandbox(host);
  }

  /** @returns a handle to run it by. @throws Error with Lua's message when it does not compile */
  compile(script: string): number {
    const { lua, raw } = this.#memory;
    const state = this.#state;
    lua.lua_settop(state, 0);
    const status = this.#memory.lend("@user_script\0t\0", (names) =>
      this.#lendAgain(script, (pointer, length) => raw._luaL_loadbufferx(state, pointer, length, names, names + 13)),
    );
    if (status !== 0) throw new Error(this.#raised().error);
    return lua.luaL_ref(state, registryIndex);
  }

  forget(handle: number): void {
    this.#memory.lua.luaL_unref(this.#state, registryIndex, handle);
  }

  run(handle: number, keys: readonly string[], args: readonly string[]): LuaOutcome {
    const { lua } = this.#memory;
    const state = this.#state;
    lua.lua_settop(state, 0);
    this.#setGlobal("KEYS", keys);
    this.#setGlobal("ARGV", args);
    lua.lua_rawgeti(state, registryIndex, BigInt(handle));
    this.#deadline = performance.now() + this.#limits.runMs;
    lua.lua_sethook(state, this.#hook, maskCount, instructionsBetweenLooks);
    const status = lua.lua_pcallk(state, 0, oneResult, 0, 0, null);
    lua.lua_sethook(state, null, 0, 0);
    const outcome = status === 0 ? { reply: toReply(this.#memory, state, 1) } : this.#raised();
    lua.lua_settop(state, 0);
    if (this.#used > this.#limits.memoryBytes / 2) this.#collectGarbage();
    return outcome;
  }

  /** Lua's text buffers ask for memory past the collector, so that what a greedy script has left would fail the next one. */
  #collectGarbage(): void {
    const { lua } = this.#memory;
    lua.lua_rawgeti(this.#state, registryIndex, BigInt(this.#collect));
    lua.lua_pcallk(this.#state, 0, 0, 0, 0, null);
    lua.lua_settop(this.#state, 0);
  }

  /** `lend` has one scratch buffer; the script takes memory of its own beside it. */
  #lendAgain<T>(text: string, use: (pointer: number, length: number) => T): T {
    const { raw } = this.#memory;
    const pointer = raw._malloc(text.length + 1);
    assert(pointer !== 0, "no memory for a script");
    try {
      raw.HEAPU8.set(Buffer.from(text, "latin1"), pointer);
      return use(pointer, text.length);
    } finally {
      raw._free(pointer);
    }
  }

  #setGlobal(name: string, values: readonly string[]): void {
    const { lua } = this.#memory;
    const state = this.#state;
    lua.lua_rawgeti(state, registryIndex, BigInt(this.#globals));
    this.#memory.push(state, name);
    pushReply(this.#memory, state, values);
    lua.lua_rawset(state, -3);
    lua.lua_settop(state, -2);
  }

  #raised(): { error: string; isReply: boolean } {
    const { lua } = this.#memory;
    const top = lua.lua_gettop(this.#state);
    const kind = lua.lua_type(this.#state, top);
    if (kind === LuaType.String) return { error: this.#memory.text(this.#state, top), isReply: false };
    const err = kind === LuaType.Table ? stringField(this.#memory, this.#state, top, "err") : undefined;
    return err === undefined ? { error: "the script raised no text", isReply: false } : { error: err, isReply: true };
  }

  /** lua_Alloc: Lua frees something of its own when it is told that there is no more, then gives up with an error. */
  readonly #allocate = (_data = 0, pointer = 0, oldSize = 0, newSize = 0): number => {
    const { raw } = this.#memory;
    // Without a pointer the old size tells the kind of what is asked for.
    const before = pointer === 0 ? 0 : oldSize;
    if (newSize === 0) {
      if (pointer !== 0) raw._free(pointer);
      this.#used -= before;
      return 0;
    }
    if (newSize > before && this.#used + newSize - before > this.#limits.memoryBytes) return 0;
    const moved = raw._realloc(pointer, newSize);
    if (moved !== 0) this.#used += newSize - before;
    return moved;
  };

  /** lua_Hook. Once the time is over it fails at every instruction, so that no pcall inside the script can go on. */
  readonly #look = (state = 0): void => {
    if (performance.now() < this.#deadline) return;
    this.#memory.lua.lua_sethook(state, this.#hook, maskCount, 1);
    this.#memory.push(state, `ERR the script ran longer than ${this.#limits.runMs} ms`);
    this.#memory.lua.lua_error(state);
  };

  #openLibraries(): void {
    const { lua } = this.#memory;
    const state = this.#state;
    for (const [name, open] of [
      ["_G", this.#memory.raw.addFunction((other = 0) => lua.luaopen_base(other), "ii")],
      ["string", this.#memory.raw.addFunction((other = 0) => lua.luaopen_string(other), "ii")],
      ["table", this.#memory.raw.addFunction((other = 0) => lua.luaopen_table(other), "ii")],
      ["math", this.#memory.raw.addFunction((other = 0) => lua.luaopen_math(other), "ii")],
    ] as const) {
      lua.luaL_requiref(state, name, open, 1);
    }
  }

  #openSandbox(host: LuaHost): number {
    const { lua } = this.#memory;
    const state = this.#state;
    const handle = this.compile(sandbox);
    lua.lua_rawgeti(state, registryIndex, BigInt(handle));
    for (const call of [this.#callFunction(host, true), this.#callFunction(host, false), this.#sha1Function(host)]) {
      lua.lua_pushcclosure(state, call, 0);
    }
    const status = lua.lua_pcallk(state, 3, oneResult, 0, 0, null);
    assert(status === 0, `the sandbox of the scripts: ${status === 0 ? "" : this.#raised().error}`);
    this.forget(handle);
    return lua.luaL_ref(state, registryIndex);
  }

  /** A lua_CFunction; `raises`: an error reply becomes an error of the script. */
  #callFunction(host: LuaHost, raises: boolean): number {
    return this.#memory.raw.addFunction((state = 0) => {
      const args = takeArguments(this.#memory, state);
      const reply = answer(host, args);
      pushReply(this.#memory, state, reply);
      const failed = typeof reply === "object" && reply !== null && "err" in reply;
      return failed && raises ? this.#memory.lua.lua_error(state) : 1;
    }, "ii");
  }

  #sha1Function(host: LuaHost): number {
    return this.#memory.raw.addFunction((state = 0) => {
      const args = takeArguments(this.#memory, state);
      if (args?.length !== 1) {
        pushReply(this.#memory, state, { err: "ERR wrong number of arguments" });
        return this.#memory.lua.lua_error(state);
      }
      this.#memory.push(state, host.sha1hex(args[0] ?? ""));
      return 1;
    }, "ii");
  }
}

function answer(host: LuaHost, args: readonly string[] | undefined): Reply {
  if (args === undefined) return { err: "ERR Lua redis lib command arguments must be strings or integers" };
  if (args.length === 0) return { err: "ERR Please specify at least one argument for this redis lib call" };
  return host.call(args);
}
