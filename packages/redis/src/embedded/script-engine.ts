import { hash } from "node:crypto";
import { findCommand } from "./command-table.ts";
import type { Command, ScriptEngine, ServerState } from "./command.ts";
import { LuaMemory } from "./lua/lua-memory.ts";
import { type LuaLimits, type LuaOutcome, LuaState } from "./lua/lua-state.ts";
import { CommandError, type Reply } from "./reply.ts";
import { runCommand } from "./run-command.ts";

/** Scripts are few and fixed; somebody who makes up new ones all the time must not fill the memory. */
const mostScripts = 1000;

/** EVAL and its kin. `stateOf` is asked late, as the server's state holds the engine. */
export async function openScriptEngine(stateOf: () => ServerState, limits: LuaLimits): Promise<ScriptEngine> {
  const host = { call: (args: readonly string[]) => callFromScript(stateOf(), args), sha1hex };
  let lua = new LuaState(await LuaMemory.open(), host, limits);
  let isBroken = false;
  const handles = new Map<string, number>();

  const flush = (): void => {
    for (const handle of handles.values()) lua.forget(handle);
    handles.clear();
  };
  const load = (script: string): string => {
    const sha1 = sha1hex(script);
    if (handles.has(sha1)) return sha1;
    if (handles.size >= mostScripts) flush();
    try {
      handles.set(sha1, lua.compile(script));
    } catch (error) {
      throw new CommandError(`ERR Error compiling script (new function): ${(error as Error).message}`);
    }
    return sha1;
  };
  /** What goes wrong outside Lua leaves a state that nothing is known about: a new one takes its place. */
  const reopen = async (): Promise<void> => {
    isBroken = true;
    handles.clear();
    lua = new LuaState(await LuaMemory.open(), host, limits);
    isBroken = false;
  };
  return {
    load,
    has: (sha1) => handles.has(sha1),
    flush,
    run: (script, keys, args) => {
      if (isBroken) throw new CommandError("LOADING the script engine starts again");
      const sha1 = "sha1" in script ? script.sha1 : load(script.text);
      const handle = handles.get(sha1);
      if (handle === undefined) throw new CommandError("NOSCRIPT No matching script. Please use EVAL.");
      try {
        return asReply(lua.run(handle, keys, args), sha1);
      } catch (error) {
        reopen().catch(() => {});
        throw new CommandError(`ERR the script engine failed: ${(error as Error).message}`);
      }
    },
  };
}

function sha1hex(text: string): string {
  return hash("sha1", Buffer.from(text, "latin1"));
}

function asReply(outcome: LuaOutcome, sha1: string): Reply {
  if ("reply" in outcome) return outcome.reply;
  const text = outcome.isReply ? outcome.error : /^[A-Z]+ /.test(outcome.error) ? outcome.error : `ERR ${outcome.error}`;
  return { err: `${text} script: ${sha1}, on @user_script.` };
}

function callFromScript(state: ServerState, [name = "", ...args]: readonly string[]): Reply {
  let command: Command;
  try {
    command = findCommand(name, args);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const isUnknown = error.message.startsWith("ERR unknown");
    return {
      err: `ERR ${isUnknown ? "Unknown Redis command called" : "Wrong number of args calling Redis command"} from script`,
    };
  }
  if (command.topLevel) return { err: "ERR This Redis command is not allowed from script" };
  return runCommand(state, command, args);
}
