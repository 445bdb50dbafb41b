import { LuaFactory, type LuaWasm } from "wasmoon";

/** What is used of the WebAssembly module beneath wasmoon's types: memory and the calls that must pass any byte. */
interface RawModule {
  readonly HEAPU8: Uint8Array<ArrayBuffer>;
  readonly HEAPU32: Uint32Array;
  _malloc(bytes: number): number;
  _realloc(pointer: number, bytes: number): number;
  _free(pointer: number): void;
  _lua_pushlstring(state: number, pointer: number, length: number): number;
  _lua_tolstring(state: number, index: number, lengthPointer: number): number;
  _luaL_loadbufferx(state: number, pointer: number, length: number, name: number, mode: number): number;
  addFunction(call: (...args: number[]) => number | void, signature: string): number;
}

const scratchBytes = 65_536;

/** A Lua 5.4 in WebAssembly with its own heap, and strings in and out of it with one character a byte. */
export class LuaMemory {
  readonly lua: LuaWasm;
  readonly raw: RawModule;
  readonly #scratch: number;
  readonly #length: number;
  #view: Buffer;

  private constructor(lua: LuaWasm) {
    this.lua = lua;
    this.raw = lua.module as unknown as RawModule;
    this.#scratch = this.raw._malloc(scratchBytes);
    this.#length = this.raw._malloc(8);
    this.#view = Buffer.from(this.raw.HEAPU8.buffer);
  }

  static async open(): Promise<LuaMemory> {
    return new LuaMemory(await new LuaFactory().getLuaModule());
  }

  /** Moves when the heap grows. */
  get #heap(): Buffer {
    const { buffer } = this.raw.HEAPU8;
    if (this.#view.buffer !== buffer) this.#view = Buffer.from(buffer);
    return this.#view;
  }

  /** Lends `text` to `use` at an address, valid until `use` returns. */
  lend<T>(text: string, use: (pointer: number, length: number) => T): T {
    const pointer = text.length <= scratchBytes ? this.#scratch : this.raw._malloc(text.length);
    if (pointer === 0) throw new Error("the script engine is out of memory");
    try {
      this.#heap.write(text, pointer, "latin1");
      return use(pointer, text.length);
    } finally {
      if (pointer !== this.#scratch) this.raw._free(pointer);
    }
  }

  push(state: number, text: string): void {
    this.lend(text, (pointer, length) => this.raw._lua_pushlstring(state, pointer, length));
  }

  /** The value at `index` must be a string: a number would be turned into one in place. */
  text(state: number, index: number): string {
    const pointer = this.raw._lua_tolstring(state, index, this.#length);
    const length = this.raw.HEAPU32[this.#length >>> 2] ?? 0;
    return this.#heap.toString("latin1", pointer, pointer + length);
  }
}
