import { any, type Command, type ServerState } from "../command.ts";
import { parseInteger } from "../numbers.ts";
import { CommandError, ok, type Reply } from "../reply.ts";

export const scriptCommands: readonly Command[] = [
  { name: "eval", takes: [2, any], topLevel: true, run: (state, [text = "", ...rest]) => evaluate(state, { text }, rest) },
  {
    name: "evalsha",
    takes: [2, any],
    topLevel: true,
    run: (state, [sha1 = "", ...rest]) => evaluate(state, { sha1: sha1.toLowerCase() }, rest),
  },
  { name: "script", takes: [1, any], topLevel: true, run: script },
];

function evaluate(
  state: ServerState,
  what: { text: string } | { sha1: string },
  [keyCount = "", ...rest]: readonly string[],
): Reply {
  const count = parseInteger(keyCount);
  if (count > BigInt(rest.length)) throw new CommandError("ERR Number of keys can't be greater than number of args");
  if (count < 0n) throw new CommandError("ERR Number of keys can't be negative");
  return state.scripts.run(what, rest.slice(0, Number(count)), rest.slice(Number(count)));
}

function script({ scripts }: ServerState, [subcommand = "", ...args]: readonly string[]): Reply {
  switch (subcommand.toUpperCase()) {
    case "LOAD":
      if (args.length !== 1) break;
      return scripts.load(args[0] ?? "");
    case "EXISTS":
      if (args.length === 0) break;
      return args.map((sha1) => (scripts.has(sha1.toLowerCase()) ? 1 : 0));
    case "FLUSH":
      if (args.length > 1 || (args[0] !== undefined && !["SYNC", "ASYNC"].includes(args[0].toUpperCase()))) {
        throw new CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
      }
      scripts.flush();
      return ok;
    default:
      throw new CommandError(`ERR unknown subcommand '${subcommand.slice(0, 128)}'. Try SCRIPT HELP.`);
  }
  throw new CommandError(`ERR wrong number of arguments for 'script|${subcommand.toLowerCase()}' command`);
}
