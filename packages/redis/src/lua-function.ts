/** A Lua script with a name and a version. The text is the version's own: a changed script is a new version. */
import { hash } from "node:crypto";

export interface LuaFunction {
  readonly name: string;
  readonly version: number;
  /** `any` for a function over as many keys as it is given. */
  readonly keyCount: number | "any";
  readonly script: string;
  /** What EVALSHA names it by. */
  readonly sha1: string;
}

/**
 * Scripts keep to what Lua 5.1 (Redis) and 5.4 (the embedded server) share: no `unpack`, `//`, `&`, `goto`, `cjson`, `bit`;
 * numbers are written by `string.format('%.0f', x)`; integers stay within 2^53.
 */
export function defineLua(definition: Omit<LuaFunction, "sha1">): LuaFunction {
  const script = `-- ${definition.name} v${definition.version}\n${definition.script.trim()}\n`;
  return { ...definition, script, sha1: hash("sha1", script) };
}
